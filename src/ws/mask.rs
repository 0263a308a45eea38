//! The client's XOR mask (RFC 6455, section 5.3).

/// XORs `bytes` with `key`, repeated, in place.
///
/// Eight bytes a step, in a loop that compiles to vector instructions; no alignment is needed.
/// For a payload that arrives in parts, rotate the key left by the bytes already done, modulo four.
#[inline]
pub fn unmask(bytes: &mut [u8], key: [u8; 4]) {
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, tail) = bytes.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in tail.iter_mut().zip([a, b, c, d, a, b, c]) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use super::unmask;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equals_the_definition_at_any_length_and_cut(
            plain in prop::collection::vec(any::<u8>(), 0..300),
            key: [u8; 4],
            cut: prop::sample::Index,
        ) {
            let expected: Vec<u8> =
                plain.iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]).collect();
            let mut whole = plain.clone();
            unmask(&mut whole, key);
            prop_assert_eq!(&whole, &expected);

            let mut parts = plain;
            let at = cut.index(parts.len() + 1);
            let (left, right) = parts.split_at_mut(at);
            unmask(left, key);
            let mut rotated = key;
            rotated.rotate_left(at % 4);
            unmask(right, rotated);
            prop_assert_eq!(&parts, &expected);
        }
    }
}
