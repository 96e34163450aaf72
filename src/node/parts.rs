//! How long a member of an ensemble was at what, for the metrics. Elections that came to nothing count as time without
//! service only.

use crate::{
    admin::metrics::{Counter, Shard, Summary},
    member::Part,
};

/// Since when what has been going on, monotonic ms.
///
/// Upstream counterpart: the times that `QuorumPeer`, `Leader`, `Follower` and `Observer` take.
#[derive(Debug, Default)]
pub(super) struct PartTimes {
    looking: Option<i64>,
    joining: Option<i64>,
    /// How long the last election took, ms.
    elected_in: Option<u64>,
    /// Since when it has served nobody who writes.
    unavailable: Option<i64>,
}

impl PartTimes {
    /// The member is at something else now.
    pub fn begin(&mut self, part: Part, now_ms: i64, metrics: &Shard) {
        let since = |then: Option<i64>| then.map(|then| now_ms.saturating_sub(then).max(0) as u64);
        match part {
            Part::Standalone => {}
            Part::Looking => {
                metrics.inc(Counter::LookingCount);
                self.looking = Some(now_ms);
                self.unavailable.get_or_insert(now_ms);
            }
            // It goes on looking.
            Part::ReadOnly => {}
            Part::Joining { .. } => {
                self.elected_in = since(self.looking.take());
                self.joining = Some(now_ms);
            }
            Part::Leading | Part::LeadingOnly | Part::Following { .. } | Part::Observing { .. } => {
                let (elected_in, synced_in) = (self.elected_in.take(), since(self.joining.take()));
                let unavailable = since(self.unavailable.take());
                let record = |summary, ms: Option<u64>| {
                    if let Some(ms) = ms {
                        metrics.record(summary, ms);
                    }
                };
                record(Summary::UnavailableTime, unavailable);
                match part {
                    Part::Observing { .. } => record(Summary::ObserverSyncTime, synced_in),
                    Part::Following { .. } => {
                        record(Summary::ElectionTime, elected_in);
                        record(Summary::FollowerSyncTime, synced_in);
                    }
                    _ => {
                        record(Summary::ElectionTime, elected_in);
                        record(Summary::LeaderUnavailableTime, unavailable);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        admin::metrics::{Metrics, Number},
        types::ServerId,
    };
    use std::collections::BTreeMap;

    #[test]
    fn times_run_from_the_search_for_a_leader_until_clients_are_served() {
        let metrics = Metrics::new(1);
        let mut times = PartTimes::default();
        let leader = ServerId(2);
        for (part, at_ms) in [
            (Part::Looking, 1_000),
            (Part::ReadOnly, 1_050),
            (Part::Joining { leader }, 1_100),
            // That came to nothing.
            (Part::Looking, 1_300),
            (Part::Joining { leader }, 1_310),
            (Part::Following { leader }, 1_340),
            (Part::Looking, 5_000),
            (Part::Joining { leader }, 5_002),
            (Part::Leading, 5_009),
        ] {
            times.begin(part, at_ms, &metrics.shard(0));
        }
        let mut values = BTreeMap::new();
        metrics.view().each(|name, value| {
            values.insert(name.to_owned(), value);
        });
        let sum_and_count = |name: &str| {
            let number = |prefix| match values[&format!("{prefix}_{name}")] {
                Number::Whole(n) => n,
                Number::Decimal(_) => panic!("{name} is no whole number"),
            };
            (number("sum"), number("cnt"))
        };
        assert_eq!(values["looking_count"], Number::Whole(3));
        assert_eq!(sum_and_count("election_time"), (10 + 2, 2));
        assert_eq!(sum_and_count("follower_sync_time"), (30, 1));
        assert_eq!(sum_and_count("observer_sync_time"), (0, 0));
        assert_eq!(sum_and_count("unavailable_time"), (340 + 9, 2));
        assert_eq!(sum_and_count("leader_unavailable_time"), (9, 1));
    }
}
