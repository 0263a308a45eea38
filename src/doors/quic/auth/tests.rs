use super::*;
use ring::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use serde_json::json;

const SECRET: &[u8] = b"a secret of at least thirty-two bytes";
const NOW_S: u64 = 1_000_000;

fn auth(key: TokenKey) -> Auth {
    Auth { token: Some(key), ..Auth::default() }
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn signed(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let text = format!("{}.{}", part(header), part(claims));
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(sign(text.as_bytes())))
}

fn hs256(text: &[u8]) -> Vec<u8> {
    let mut mac = <Hmac<Sha256>>::new_from_slice(SECRET).unwrap();
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

fn token(claims: &Value) -> String {
    signed(&json!({ "alg": "HS256", "typ": "JWT" }), claims, hs256)
}

fn claims() -> Value {
    json!({ "sub": "42", "username": "Ada", "exp": NOW_S + 100 })
}

fn check(claims: &Value) -> Result<Entry, &'static str> {
    auth(TokenKey::Secret(SECRET.into())).check("token", &token(claims), NOW_S)
}

#[test]
fn a_good_token_names_its_account() {
    let entry = check(&claims()).unwrap();
    assert_eq!((entry.number, entry.expires_s), (Some(42), Some(NOW_S + 100)));
    assert_eq!(entry.guise.name.as_str(), "Ada");
    assert_eq!(entry.guise.account, NonZeroU64::new(42));
}

#[test]
fn the_token_of_rfc_7515_is_signed_as_there() {
    // Appendix A.1: not a token of ours, but its signature is right and only its claims are missing.
    let key =
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
    let token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let auth = auth(TokenKey::Secret(URL_SAFE_NO_PAD.decode(key).unwrap().into()));
    assert_eq!(auth.check("token", token, NOW_S), Err("the token's sub is no account"));
    let tampered = token.replace("dBjf", "dBjg");
    assert_eq!(auth.check("token", &tampered, NOW_S), Err("the token's signature is wrong"));
}

#[test]
fn what_a_token_lacks_is_not_made_up() {
    for (change, why) in [
        (json!({ "exp": NOW_S - 61 }), "the token has expired"),
        (json!({ "exp": null }), "the token has no exp"),
        (json!({ "exp": "soon" }), "the token has no exp"),
        (json!({ "exp": -1.5 }), "the token has no exp"),
        (json!({ "exp": (NOW_S - 61) as f64 + 0.5 }), "the token has expired"),
        (json!({ "nbf": (NOW_S + 61) as f64 }), "the token is not valid yet"),
        (json!({ "nbf": NOW_S + 61 }), "the token is not valid yet"),
        (json!({ "nbf": "soon" }), "the token is malformed"),
        (json!({ "sub": "x" }), "the token's sub is no account"),
        (json!({ "sub": "0" }), "the token's sub is no account"),
        (json!({ "sub": "-1" }), "the token's sub is no account"),
        (json!({ "sub": "281474976710656" }), "the token's sub is no account"),
        (json!({ "username": "" }), "the token's username is not a name of 1 to 40 characters"),
    ] {
        let mut claims = claims();
        for (key, value) in change.as_object().unwrap() {
            claims[key] = value.clone();
        }
        assert_eq!(check(&claims), Err(why), "{change}");
    }
    let mut late = claims();
    late["exp"] = (NOW_S - 60).into();
    assert!(check(&late).is_ok(), "clocks may differ by a minute");
    for exp in [json!((NOW_S + 10) as f64 + 0.25), json!(1e12), json!(1e300)] {
        late["exp"] = exp.clone();
        assert!(check(&late).is_ok(), "a date need not be a whole number: {exp}");
    }
}

#[test]
fn a_token_does_not_choose_how_it_is_checked() {
    let auth = auth(TokenKey::Secret(SECRET.into()));
    let none = signed(&json!({ "alg": "none" }), &claims(), |_| Vec::new());
    let other = signed(&json!({ "alg": "HS512" }), &claims(), hs256);
    for token in [none, other] {
        assert!(auth.check("token", &token, NOW_S).unwrap_err().contains("algorithm"));
    }
    let crit = json!({ "alg": "HS256", "crit": ["exp"] });
    assert!(auth.check("token", &signed(&crit, &claims(), hs256), NOW_S).is_err());
    for malformed in ["", "a", "a.b", "a.b.c", "..", "e30.e30."] {
        assert!(auth.check("token", malformed, NOW_S).is_err(), "{malformed}");
    }
}

#[test]
fn issuer_and_audience_hold_when_they_are_asked_for() {
    let mut auth = auth(TokenKey::Secret(SECRET.into()));
    (auth.issuer, auth.audience) = (Some("me".into()), Some("you".into()));
    let check = |change: Value| {
        let mut claims = claims();
        claims["iss"] = "me".into();
        claims["aud"] = json!(["others", "you"]);
        for (key, value) in change.as_object().unwrap() {
            claims[key] = value.clone();
        }
        auth.check("token", &token(&claims), NOW_S)
    };
    assert!(check(json!({})).is_ok());
    assert!(check(json!({ "aud": "you" })).is_ok());
    assert!(check(json!({ "iss": "x" })).is_err());
    assert!(check(json!({ "aud": null })).is_err());
}

#[test]
fn ed25519_tokens_are_checked_with_the_public_key() {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
    let prefix = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    let der = [&prefix[..], pair.public_key().as_ref()].concat();
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n");
    let auth = auth(TokenKey::parse_pem(&pem).unwrap());
    let sign = |text: &[u8]| pair.sign(text).as_ref().to_vec();
    let token = signed(&json!({ "alg": "EdDSA" }), &claims(), sign);
    assert!(auth.check("token", &token, NOW_S).is_ok());
    let forged = signed(&json!({ "alg": "EdDSA" }), &claims(), hs256);
    assert!(auth.check("token", &forged, NOW_S).is_err());
    // The public key is public: used as a shared secret it must open nothing.
    let confused = signed(&json!({ "alg": "HS256" }), &claims(), hs256);
    assert!(auth.check("token", &confused, NOW_S).is_err());
    assert!(TokenKey::parse_pem("nothing").is_err());
    assert!(TokenKey::parse_pem(&pem.replace("MCow", "MCox")).is_err());
}

#[test]
fn names_alone_are_for_development() {
    let auth = auth(TokenKey::Secret(SECRET.into()));
    assert_eq!(auth.methods(), ["token"]);
    assert!(auth.check("username", "Ada", NOW_S).is_err());
    let auth = Auth { names: true, ..Auth::default() };
    assert_eq!(auth.methods(), ["username"]);
    let entry = auth.check("username", "Ada", NOW_S).unwrap();
    assert!(entry.guise.alone && entry.number.is_none());
    assert_eq!(auth.check("username", "ADA", NOW_S).unwrap().user, entry.user, "one name");
    assert!(auth.check("username", &"x".repeat(41), NOW_S).is_err());
    assert!(auth.check("token", "x", NOW_S).is_err());
}

#[test]
fn a_token_without_end_ends_when_numbers_do() {
    for exp in [u64::MAX, u64::MAX / 1_000, EXPIRES_S_MAX + 1] {
        let mut endless = claims();
        endless["exp"] = exp.into();
        assert_eq!(check(&endless).unwrap().expires_s, Some(EXPIRES_S_MAX));
    }
}

/// Whoever calls themselves 42 is not the account 42, and gets into none of its rooms.
#[test]
fn no_name_is_an_account() {
    let auth = Auth { names: true, ..auth(TokenKey::Secret(SECRET.into())) };
    let account = auth.check("token", &token(&claims()), NOW_S).unwrap();
    let name = auth.check("username", "42", NOW_S).unwrap();
    assert_eq!((account.number, name.number), (Some(42), None));
    assert_eq!(Some(account.user), auth.user_of_account(42));
    assert_ne!(account.user, name.user);
}
