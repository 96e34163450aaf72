use std::collections::BTreeSet;
use std::path::Path;

use super::*;

fn values(metrics: &Metrics) -> BTreeMap<String, Number> {
    let mut values = BTreeMap::new();
    metrics.view().each(|name, value| {
        assert!(values.insert(name.to_owned(), value).is_none(), "{name} is printed twice");
    });
    values
}

#[test]
fn shards_add_up() {
    let metrics = Metrics::new(2);
    for index in 0..3 {
        let shard = metrics.shard(index);
        shard.inc(Counter::ConnectionDropCount);
        shard.record(Summary::FsyncTime, 10 + index as u64);
        shard.distribute(Distribution::ReadLatency, index as u64);
        shard.inc_keyed(KeyedCounter::QuotaExceededErrorPerNamespace, "a");
        shard.record_keyed(KeyedSummary::WritePerNamespace, "a", Totals::one(5));
    }
    let values = values(&metrics);
    for (name, value) in [
        ("connection_drop_count", Number::Whole(3)),
        ("avg_fsynctime", Number::Decimal(11.0)),
        ("min_fsynctime", Number::Whole(10)),
        ("max_fsynctime", Number::Whole(12)),
        ("cnt_fsynctime", Number::Whole(3)),
        ("sum_fsynctime", Number::Whole(33)),
        ("p50_readlatency", Number::Whole(1)),
        ("p999_readlatency", Number::Whole(2)),
        ("a_quota_exceeded_error_per_namespace", Number::Whole(3)),
        ("cnt_a_write_per_namespace", Number::Whole(3)),
        ("sum_a_write_per_namespace", Number::Whole(15)),
    ] {
        assert_eq!(values[name], value, "{name}");
    }
}

#[test]
fn nothing_counted_is_zero_everywhere() {
    for (name, value) in values(&Metrics::new(1)) {
        assert!(matches!(value, Number::Whole(0) | Number::Decimal(0.0)), "{name}");
    }
}

#[test]
fn a_reset_leaves_keys_and_nothing_counted() {
    let metrics = Metrics::new(1);
    let shard = metrics.shard(0);
    shard.add(Counter::ResponseBytes, 7);
    shard.record(Summary::FsyncTime, 7);
    shard.distribute(Distribution::UpdateLatency, 7);
    shard.record_keyed(KeyedSummary::ReadPerNamespace, "a", Totals::one(7));
    metrics.reset();
    let values = values(&metrics);
    assert!(values.contains_key("max_a_read_per_namespace"));
    assert!(values.values().all(|value| matches!(value, Number::Whole(0) | Number::Decimal(0.0))));
}

#[test]
fn keys_are_limited_in_number() {
    let metrics = Metrics::new(1);
    let shard = metrics.shard(0);
    for key in 0..KEYS_MAX as u64 + 50 {
        shard.record_keyed(KeyedSummary::ReadPerNamespace, &key.to_string(), Totals::one(1));
    }
    shard.record_keyed(KeyedSummary::ReadPerNamespace, "0", Totals::one(1));
    let values = values(&metrics);
    assert_eq!(values["cnt_0_read_per_namespace"], Number::Whole(2));
    assert_eq!(values["cnt__other_read_per_namespace"], Number::Whole(50));
    let keys = values.keys().filter(|name| name.starts_with("cnt_") && name.ends_with("_read_per_namespace"));
    assert_eq!(keys.count(), KEYS_MAX + 1);
}

#[test]
fn many_threads_lose_nothing() {
    let metrics = Arc::new(Metrics::new(2));
    let threads: Vec<_> = (0..4)
        .map(|index| {
            let shard = metrics.shard(index);
            std::thread::spawn(move || {
                for value in 0..10_000 {
                    shard.inc(Counter::ResponseBytes);
                    shard.record(Summary::FsyncTime, value);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(metrics.count(Counter::ResponseBytes), 40_000);
    let values = values(&metrics);
    assert_eq!(values["sum_fsynctime"], Number::Whole(4 * 49_995_000));
    assert_eq!((values["min_fsynctime"], values["max_fsynctime"]), (Number::Whole(0), Number::Whole(9_999)));
}

#[test]
fn a_shard_is_small() {
    assert!(size_of::<Shard>() < 64 << 10, "{} bytes", size_of::<Shard>());
}

/// Every metric with its kind and state.
fn table() -> Vec<(String, State)> {
    fn rows<T: std::fmt::Debug>(kind: &str, all: &[T], state: impl Fn(&T) -> State) -> Vec<(String, State)> {
        all.iter().map(|metric| (format!("{kind}::{metric:?}"), state(metric))).collect()
    }
    [
        rows("Counter", &Counter::ALL, |metric| metric.state()),
        rows("Summary", &Summary::ALL, |metric| metric.state()),
        rows("Distribution", &Distribution::ALL, |metric| metric.state()),
        rows("KeyedCounter", &KeyedCounter::ALL, |metric| metric.state()),
        rows("KeyedSummary", &KeyedSummary::ALL, |metric| metric.state()),
    ]
    .concat()
}

/// All `Kind::Variant` words of the source outside of `admin`.
fn words_in_source(dir: &Path, words: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.ends_with("src/admin") {
                words_in_source(&path, words);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let is_word = |c: char| c.is_ascii_alphanumeric() || c == ':';
            words.extend(text.split(|c| !is_word(c)).filter(|word| word.contains("::")).map(|word| {
                let parts: Vec<_> = word.split("::").collect();
                parts[parts.len().saturating_sub(2)..].join("::")
            }));
        }
    }
}

#[test]
fn a_metric_is_marked_as_counted_exactly_when_something_adds_to_it() {
    let mut words = BTreeSet::new();
    words_in_source(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut words);
    assert!(words.len() > 20, "the source is not where it is expected");
    let wrong: Vec<_> = table()
        .into_iter()
        .filter(|(name, state)| words.contains(name) != (*state == State::Counted))
        .map(|(name, state)| format!("{name} is marked {state:?} in src/admin/metrics/table.rs"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
