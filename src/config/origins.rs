//! Which pages may open a WebSocket.

/// An allow list of `Origin` headers; an empty one allows everything.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origins(Vec<String>);

impl Origins {
    /// The origins listed, compared without case and without a slash at the end.
    #[must_use]
    pub fn new(origins: Vec<String>) -> Self {
        Origins(origins.iter().map(|origin| bare(origin).to_ascii_lowercase()).collect())
    }

    /// Whether a request with this `Origin` header may open a WebSocket. With a list, a request that names no origin
    /// may not: a list that can be passed by leaving the header out would only look like one.
    #[must_use]
    pub fn allow(&self, origin: Option<&str>) -> bool {
        self.0.is_empty()
            || origin.is_some_and(|origin| {
                self.0.iter().any(|allowed| allowed.eq_ignore_ascii_case(bare(origin)))
            })
    }
}

fn bare(origin: &str) -> &str {
    origin.trim().trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_list_allows_all_and_a_list_only_what_it_names() {
        let any = Origins::new(Vec::new());
        assert!(any.allow(None) && any.allow(Some("https://elsewhere.example")));

        let some = Origins::new(vec!["https://Piano.example/".into()]);
        assert!(some.allow(Some("https://piano.example")));
        assert!(!some.allow(Some("http://piano.example")));
        assert!(!some.allow(Some("https://piano.example.evil")));
        assert!(!some.allow(Some("null")));
        assert!(!some.allow(None));
    }
}
