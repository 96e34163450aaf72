/// Sizes in bytes of what is sent: the last, the smallest and the largest.
///
/// Upstream counterpart: `BufferStats`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// The last, smallest and largest one; `None` before the first.
    pub seen: Option<(u32, u32, u32)>,
}

impl Sizes {
    /// Adds one.
    #[inline]
    pub fn add(&mut self, bytes: usize) {
        let last = u32::try_from(bytes).unwrap_or(u32::MAX);
        let (_, min, max) = self.seen.unwrap_or((last, last, last));
        self.seen = Some((last, min.min(last), max.max(last)));
    }

    /// Adds those of another, which are later.
    pub fn merge(&mut self, other: &Sizes) {
        self.seen = match (self.seen, other.seen) {
            (Some((_, min, max)), Some((last, other_min, other_max))) => {
                Some((last, min.min(other_min), max.max(other_max)))
            }
            (mine, theirs) => mine.or(theirs),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_the_smallest_and_the_largest_are_kept_of_later_ones_too() {
        let of = |all: &[usize]| {
            let mut sizes = Sizes::default();
            all.iter().for_each(|bytes| sizes.add(*bytes));
            sizes
        };
        assert_eq!(of(&[]).seen, None);
        assert_eq!(of(&[5, 9, 7]).seen, Some((7, 5, 9)));
        let mut sizes = of(&[5, 9, 7]);
        sizes.merge(&of(&[]));
        assert_eq!(sizes, of(&[5, 9, 7]));
        sizes.merge(&of(&[3, 8]));
        assert_eq!(sizes.seen, Some((8, 3, 9)));
    }
}
