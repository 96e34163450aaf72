//! Count, sum, smallest and largest of values, as a whole and by the first component of a path.

use super::first_component;
use hashbrown::HashMap;

/// How many first components of paths, or other keys of a metric, are told apart.
pub const KEYS_MAX: usize = 1000;

/// Count, sum, smallest and largest of some values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// How many.
    pub count: u64,
    /// Their sum.
    pub sum: u64,
    /// The smallest; `u64::MAX` while there is none.
    pub min: u64,
    /// The largest; 0 while there is none.
    pub max: u64,
}

impl Totals {
    /// No value.
    pub const NONE: Totals = Totals { count: 0, sum: 0, min: u64::MAX, max: 0 };

    /// One value.
    pub fn one(value: u64) -> Self {
        Totals { count: 1, sum: value, min: value, max: value }
    }

    /// Adds those of another.
    pub fn merge(&mut self, other: Totals) {
        self.count += other.count;
        self.sum = self.sum.wrapping_add(other.sum);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }
}

impl Default for Totals {
    fn default() -> Self {
        Totals::NONE
    }
}

/// Values by the first component of a path, on their way to the metrics.
///
/// Whoever adds often adds mostly for one component, which costs a comparison of a few bytes.
///
/// ```
/// use quoll::types::{NamespaceTotals, Totals};
///
/// let mut totals = NamespaceTotals::new(100);
/// totals.add("/app/a", 7);
/// totals.add("/app", 5);
/// totals.add("/", 9);
/// let mut taken = Vec::new();
/// totals.take(|namespace, totals| taken.push((namespace.to_owned(), totals)));
/// assert_eq!(taken, [("app".to_owned(), Totals { count: 2, sum: 12, min: 5, max: 7 })]);
/// ```
#[derive(Debug, Default)]
pub struct NamespaceTotals {
    /// The component of the last value, if `of_last` holds any.
    last: String,
    of_last: Totals,
    others: HashMap<String, Totals>,
    others_max: usize,
}

impl NamespaceTotals {
    /// No values. With more than `max` components between two calls of [`take`](Self::take) the rest counts under the
    /// empty one.
    pub fn new(max: usize) -> Self {
        Self { others_max: max, ..Self::default() }
    }

    /// Adds a value for the first component of this path; `/` has none.
    #[inline]
    pub fn add(&mut self, path: &str, value: u64) {
        let is_last = path
            .strip_prefix('/')
            .unwrap_or(path)
            .as_bytes()
            .strip_prefix(self.last.as_bytes())
            .is_some_and(|rest| rest.first().is_none_or(|next| *next == b'/'));
        if !is_last || self.of_last.count == 0 {
            let Some(namespace) = first_component(path) else { return };
            self.turn_to(namespace);
        }
        self.of_last.merge(Totals::one(value));
    }

    fn turn_to(&mut self, namespace: &str) {
        self.put_away();
        namespace.clone_into(&mut self.last);
    }

    fn put_away(&mut self) {
        let of_last = std::mem::take(&mut self.of_last);
        if of_last.count > 0 {
            let is_full = self.others.len() >= self.others_max && !self.others.contains_key(&self.last);
            let key = if is_full { "" } else { &self.last };
            self.others.entry_ref(key).or_default().merge(of_last);
        }
    }

    /// Hands over what was added since the last call, in no particular order.
    pub fn take(&mut self, mut sink: impl FnMut(&str, Totals)) {
        self.put_away();
        for (namespace, totals) in self.others.drain() {
            sink(&namespace, totals);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn taken(totals: &mut NamespaceTotals) -> BTreeMap<String, Totals> {
        let mut all = BTreeMap::new();
        totals.take(|namespace, totals| assert!(all.insert(namespace.to_owned(), totals).is_none()));
        all
    }

    #[test]
    fn too_many_components_count_under_the_empty_one() {
        let mut totals = NamespaceTotals::new(2);
        for path in ["/a", "/b/x", "/c", "/a/y", "/d"] {
            totals.add(path, 1);
        }
        let counts: Vec<_> =
            taken(&mut totals).into_iter().map(|(key, totals)| (key, totals.count)).collect();
        assert_eq!(counts, [(String::new(), 2), ("a".into(), 2), ("b".into(), 1)]);
        assert!(taken(&mut totals).is_empty());
    }

    proptest! {
        #[test]
        fn every_value_counts_once_under_the_first_component(
            values in prop::collection::vec(("(/[ab]{0,2}){1,3}", 0_u64..100, any::<bool>()), 0..40),
        ) {
            let mut totals = NamespaceTotals::new(100);
            let (mut expected, mut seen): (BTreeMap<String, Totals>, BTreeMap<String, Totals>) = Default::default();
            for (path, value, takes) in values {
                totals.add(&path, value);
                let first = path[1..].split('/').next().unwrap();
                if !first.is_empty() {
                    expected.entry(first.to_owned()).or_default().merge(Totals::one(value));
                }
                if takes {
                    taken(&mut totals).into_iter().for_each(|(key, of)| seen.entry(key).or_default().merge(of));
                }
            }
            taken(&mut totals).into_iter().for_each(|(key, of)| seen.entry(key).or_default().merge(of));
            prop_assert_eq!(seen, expected);
        }
    }
}
