use super::*;
use quoll_jute::client::{AddWatchRequest, CheckWatchesRequest, SetWatches, SetWatches2};

fn list(paths: &[&'static str]) -> Option<Vec<Option<quoll_jute::Text<'static>>>> {
    Some(paths.iter().map(|p| Some((*p).into())).collect())
}

#[test]
fn reads_set_watches_where_they_belong() {
    let mut w = World::new();
    w.make("/a");
    assert!(w.read(OpCode::GetData, &at("/a", true)).is_ok());
    assert!(w.read(OpCode::Exists, &at("/a", true)).is_ok());
    assert!(w.read(OpCode::GetChildren, &at("/a", true)).is_ok());
    assert!(w.read(OpCode::GetChildren2, &at("", true)).is_ok());
    assert!(w.read(OpCode::GetData, &at("/a", false)).is_ok());
    let set: Vec<_> = w.watches.set.iter().map(|(p, m)| (p.as_str(), *m)).collect();
    use WatchMode::*;
    assert_eq!(set, [("/a", Data), ("/a", Data), ("/a", Child), ("", Child)]);
}

#[test]
fn watches_are_added_by_mode_without_any_check() {
    let mut w = World::new();
    let mut add = |path: Option<&'static str>, mode| {
        w.read(OpCode::AddWatch, &bytes(&AddWatchRequest { path: path.map(Into::into), mode }))
    };
    assert_eq!(add(Some("/none"), 0), Ok(vec![0; 4]));
    assert_eq!(add(Some("no path"), 1), Ok(vec![0; 4]));
    for mode in [-1, 2, 3] {
        assert_eq!(add(Some("/a"), mode), Err(ErrorCode::MarshallingError));
    }
    assert_eq!(add(None, 0), Ok(vec![0; 4]));
    assert_eq!(
        w.watches.set,
        [("/none".into(), WatchMode::Persistent), ("no path".into(), WatchMode::PersistentRecursive)]
    );
}

#[test]
fn watches_are_found_and_removed_by_type() {
    let mut w = World::new();
    let body = |path: &'static str, type_| bytes(&CheckWatchesRequest { path: Some(path.into()), type_ });
    for op in [OpCode::CheckWatches, OpCode::RemoveWatches] {
        for type_ in 1..=5 {
            assert_eq!(w.read(op, &body("/a", type_)), Err(ErrorCode::NoWatcher));
        }
        for type_ in [-1, 0, 6] {
            assert_eq!(w.read(op, &body("/a", type_)), Err(ErrorCode::MarshallingError));
        }
    }
    assert!(w.read(OpCode::Exists, &at("/a", true)).is_err());
    assert_eq!(w.read(OpCode::CheckWatches, &body("/a", 2)), Ok(vec![]));
    assert_eq!(w.read(OpCode::RemoveWatches, &body("/a", 2)), Ok(vec![]));
    assert_eq!(w.read(OpCode::RemoveWatches, &body("/a", 2)), Err(ErrorCode::NoWatcher));
}

#[test]
fn watches_that_fired_while_the_client_was_away_are_told_at_once() {
    let mut w = World::new();
    w.make("/same");
    w.make("/changed");
    w.make("/parent");
    let then = w.zxid.0;
    assert_eq!(w.write(OpCode::SetData, &set_data("/changed", b"", -1)).0, 0);
    w.make("/parent/kid");
    let request = SetWatches2 {
        relative_zxid: then,
        data_watches: list(&["/gone", "/changed", "/same"]),
        exist_watches: list(&["/same", "/gone"]),
        child_watches: list(&["/gone", "/parent", "/same"]),
        persistent_watches: list(&["/changed"]),
        persistent_recursive_watches: list(&["/gone"]),
    };
    assert_eq!(w.read(OpCode::SetWatches2, &bytes(&request)), Ok(vec![]));
    let sent: Vec<_> = w.watches.sent.drain(..).collect();
    let sent: Vec<_> = sent.iter().map(|(k, p)| (*k, p.as_str())).collect();
    use EventKind::*;
    assert_eq!(
        sent,
        [
            (NodeDeleted, "/gone"),
            (NodeDataChanged, "/changed"),
            (NodeCreated, "/same"),
            (NodeDeleted, "/gone"),
            (NodeChildrenChanged, "/parent")
        ]
    );
    let set: Vec<_> = w.watches.set.drain(..).collect();
    let set: Vec<_> = set.iter().map(|(p, m)| (p.as_str(), *m)).collect();
    use WatchMode::*;
    assert_eq!(
        set,
        [
            ("/same", Data),
            ("/gone", Data),
            ("/same", Child),
            ("/changed", Persistent),
            ("/gone", PersistentRecursive)
        ]
    );
    let request = SetWatches {
        relative_zxid: then,
        data_watches: list(&["/same"]),
        exist_watches: list(&[]),
        child_watches: list(&[]),
    };
    assert_eq!(w.read(OpCode::SetWatches, &bytes(&request)), Ok(vec![]));
    assert_eq!(w.watches.set.len(), 1);
    let null = CheckWatchesRequest { path: None, type_: 3 };
    assert_eq!(w.read(OpCode::CheckWatches, &bytes(&null)), Err(ErrorCode::NoWatcher));
    let request = SetWatches2 {
        data_watches: list(&[]),
        exist_watches: list(&[]),
        child_watches: list(&[]),
        persistent_watches: Some(vec![None, Some("/p".into())]),
        persistent_recursive_watches: None,
        ..SetWatches2::default()
    };
    assert_eq!(w.read(OpCode::SetWatches2, &bytes(&request)), Err(ErrorCode::MarshallingError));
    assert_eq!(w.watches.set.last(), Some(&("/p".to_string(), WatchMode::Persistent)));
}

#[test]
fn a_null_list_or_path_fails_what_comes_after_it() {
    let mut w = World::new();
    let request = SetWatches { data_watches: list(&["/"]), exist_watches: None, ..SetWatches::default() };
    assert_eq!(w.read(OpCode::SetWatches, &bytes(&request)), Err(ErrorCode::MarshallingError));
    let request = SetWatches { data_watches: Some(vec![None]), ..SetWatches::default() };
    assert_eq!(w.read(OpCode::SetWatches, &bytes(&request)), Err(ErrorCode::MarshallingError));
    assert_eq!(w.watches.set.len(), 1);
    let null = CheckWatchesRequest { path: None, type_: 3 };
    assert_eq!(w.read(OpCode::CheckWatches, &bytes(&null)), Err(ErrorCode::NoWatcher));
    let request = SetWatches2 {
        data_watches: list(&[]),
        exist_watches: list(&[]),
        child_watches: list(&[]),
        persistent_watches: Some(vec![None, Some("/p".into())]),
        persistent_recursive_watches: None,
        ..SetWatches2::default()
    };
    assert_eq!(w.read(OpCode::SetWatches2, &bytes(&request)), Err(ErrorCode::MarshallingError));
    assert_eq!(w.watches.set.last(), Some(&("/p".to_string(), WatchMode::Persistent)));
}
