//! What a slice of the window says by itself.

use crate::result::Slice;
use crate::units::float;

impl Slice {
    /// Deliveries a second.
    #[must_use]
    pub fn deliveries_per_s(&self) -> Option<f64> {
        (self.length_s > 0.0).then(|| float(self.deliveries) / self.length_s)
    }

    /// CPU of the server per delivery, in microseconds.
    #[must_use]
    pub fn server_us_per_delivery(&self) -> Option<f64> {
        let us = self.server_busy? * self.length_s * 1e6;
        (self.deliveries > 0).then(|| us / float(self.deliveries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_costs_need_something_to_divide_by() {
        let slice =
            Slice { length_s: 0.5, deliveries: 100, server_busy: Some(0.2), ..Slice::default() };
        assert_eq!(slice.deliveries_per_s(), Some(200.0));
        assert_eq!(slice.server_us_per_delivery(), Some(1_000.0));
        assert_eq!(Slice::default().deliveries_per_s(), None);
        assert_eq!(
            Slice { server_busy: Some(0.1), ..Slice::default() }.server_us_per_delivery(),
            None
        );
    }
}
