use super::*;
use crate::types::Stat;
use quoll_jute::Writer;
use quoll_jute::client::{
    GetAclResponse, GetAllChildrenNumberResponse, GetChildren2Response, GetChildrenResponse, GetDataResponse,
    GetEphemeralsRequest, GetEphemeralsResponse, WhoAmIResponse,
};
use quoll_jute::from_slice;

fn stat_of(w: &World, path: &str) -> Stat {
    w.tree.lookup(path).expect(path).stat()
}

fn names(body: &[u8]) -> Vec<String> {
    let list = from_slice::<GetChildrenResponse<'_>>(body).unwrap().children.unwrap();
    list.into_iter().map(|n| n.unwrap().into_owned()).collect()
}

#[test]
fn data_and_stat_come_back_and_null_differs_from_empty() {
    let mut w = World::new();
    let open = [entry(31, "world", "anyone")];
    for (path, data) in [("/null", None), ("/empty", Some(&b""[..])), ("/some", Some(&b"abc"[..]))] {
        assert_eq!(w.write(OpCode::Create, &create_with(path, data, &open, 0)).0, 0);
        let body = w.read(OpCode::GetData, &at(path, false)).unwrap();
        let response: GetDataResponse<'_> = from_slice(&body).unwrap();
        assert_eq!((response.data, response.stat), (data, stat_of(&w, path)));
        assert_eq!(w.read(OpCode::Exists, &at(path, false)).unwrap(), to_vec(&stat_of(&w, path)));
    }
}

#[test]
fn children_come_in_byte_order_whatever_their_number() {
    let mut w = World::new();
    w.make("/p");
    let mut expected: Vec<String> = Vec::new();
    for i in 0..40 {
        let body = w.read(OpCode::GetChildren, &at("/p", false)).unwrap();
        assert_eq!(names(&body), expected, "{i} children");
        let again = w.read(OpCode::GetChildren2, &at("/p", false)).unwrap();
        assert_eq!(again, [&body[..], &to_vec(&stat_of(&w, "/p"))[..]].concat());
        let response: GetChildren2Response<'_> = from_slice(&again).unwrap();
        assert_eq!(response.stat.num_children, i);
        let name = format!("n{}", i * 7919 % 1000);
        w.make(&format!("/p/{name}"));
        expected.push(name);
        expected.sort();
    }
    while let Some(name) = expected.pop() {
        assert_eq!(w.write(OpCode::Delete, &delete(&format!("/p/{name}"), -1)).0, 0);
        assert_eq!(names(&w.read(OpCode::GetChildren, &at("/p", false)).unwrap()), expected);
    }
    let stats = w.cache.stats();
    assert!(stats.hits > 0 && stats.misses > 0, "{stats:?}");
}

#[test]
fn the_cache_keeps_within_its_bounds_and_still_tells_the_truth() {
    for (entries_max, bytes_max) in [(4, 100_000), (1_000, 600), (0, 100), (10, 0), (1, 1_000)] {
        let mut w = World::new();
        w.cache = ResponseCache::new(entries_max, bytes_max);
        for p in 0..10 {
            w.make(&format!("/p{p}"));
            for c in 0..9 + p {
                w.make(&format!("/p{p}/child{c}"));
            }
        }
        for round in 0..60 {
            let p = round * 7 % 10;
            let list = names(&w.read(OpCode::GetChildren, &at(&format!("/p{p}"), false)).unwrap());
            assert_eq!(list.len(), 9 + p);
            assert!(w.cache.len() <= entries_max && w.cache.bytes() <= bytes_max, "{:?}", w.cache);
        }
    }
}

#[test]
fn a_deleted_and_recreated_znode_does_not_get_the_old_list() {
    let mut w = World::new();
    w.make("/p");
    for i in 0..12 {
        w.make(&format!("/p/old{i}"));
    }
    assert_eq!(names(&w.read(OpCode::GetChildren, &at("/p", false)).unwrap()).len(), 12);
    let mut ops: Vec<_> = (0..12).map(|i| (2, delete(&format!("/p/old{i}"), -1))).collect();
    ops.push((2, delete("/p", -1)));
    ops.push((1, create("/p", 0)));
    ops.extend((0..12).map(|i| (1, create(&format!("/p/new{i}"), 0))));
    assert_eq!(w.write(OpCode::Multi, &super::multi::of(ops)).0, 0);
    let list = names(&w.read(OpCode::GetChildren, &at("/p", false)).unwrap());
    assert!(list.iter().all(|n| n.starts_with("new")), "{list:?}");
}

/// A learner that gets its leader's tree, or cuts its log back, goes on with another tree, in which other znodes have the
/// numbers, and after a multi also the zxids, of those before.
#[test]
fn a_list_of_one_tree_is_not_an_answer_from_another() {
    let of = |parents: [&str; 2]| {
        let mut w = World::new();
        let mut ops: Vec<_> = parents.iter().map(|p| (1, create(&format!("/{p}"), 0))).collect();
        ops.extend(
            parents.iter().flat_map(|p| (0..12).map(move |i| (1, create(&format!("/{p}/{p}{i}"), 0)))),
        );
        assert_eq!(w.write(OpCode::Multi, &super::multi::of(ops)).0, 0);
        w
    };
    let (mut w, other) = (of(["a", "b"]), of(["b", "a"]));
    let list = |w: &mut World| names(&w.read(OpCode::GetChildren, &at("/a", false)).unwrap());
    assert!(list(&mut w).iter().all(|n| n.starts_with('a')));
    w.tree = other.tree;
    let list = list(&mut w);
    assert!(list.iter().all(|n| n.starts_with('a')), "{list:?}");
}

#[test]
fn digests_in_lists_are_masked_for_those_who_may_not_administer() {
    let mut w = World::new();
    w.ids.push(Id::new("digest", "amy:secret"));
    let acl = [entry(31, "digest", "amy:secret"), entry(1, "world", "anyone"), entry(1, "ip", "10.0.0.0/8")];
    assert_eq!(w.write(OpCode::Create, &create_with("/a", None, &acl, 0)).0, 0);
    let list = |w: &mut World| {
        let body = w.read(OpCode::GetAcl, &at("/a", false)).unwrap();
        let response: GetAclResponse<'_> = from_slice(&body).unwrap();
        assert_eq!(response.stat, stat_of(w, "/a"));
        response.acl.unwrap().iter().map(|a| a.id.id.as_deref().unwrap().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(list(&mut w), ["amy:secret", "anyone", "10.0.0.0/8"]);
    w.ids.pop();
    assert_eq!(list(&mut w), ["amy:x", "anyone", "10.0.0.0/8"]);
    w.config.auth.skip_acl = true;
    assert_eq!(list(&mut w), ["amy:secret", "anyone", "10.0.0.0/8"]);
}

#[test]
fn all_descendants_are_counted() {
    let mut w = World::new();
    for path in ["/a", "/a/b", "/a/b/c", "/ab"] {
        w.make(path);
    }
    let mut number = |path: &str| {
        let body = w.read(OpCode::GetAllChildrenNumber, &at(path, false)).unwrap();
        from_slice::<GetAllChildrenNumberResponse>(&body).unwrap().total_number
    };
    // /zookeeper, /zookeeper/quota and /zookeeper/config are there, too.
    assert_eq!([number("/a"), number("/a/b"), number("/ab"), number("/"), number("")], [2, 1, 0, 7, 8]);
}

#[test]
fn ephemerals_are_the_callers_own_by_prefix() {
    let mut w = World::new();
    for path in ["/b", "/a", "/ab"] {
        w.make_with(path, 31, 1);
    }
    assert_eq!(w.write_as(OTHER, OpCode::Create, &create("/theirs", 1)).0, 0);
    let mut list = |prefix: Option<&'static str>| {
        let request = GetEphemeralsRequest { prefix_path: prefix.map(Into::into) };
        let body = w.read(OpCode::GetEphemerals, &bytes(&request)).unwrap();
        let list = from_slice::<GetEphemeralsResponse<'_>>(&body).unwrap().ephemerals.unwrap();
        list.into_iter().map(|n| n.unwrap().into_owned()).collect::<Vec<_>>()
    };
    for all in [None, Some(""), Some("/"), Some(" / "), Some("\t")] {
        assert_eq!(list(all), ["/a", "/ab", "/b"], "{all:?}");
    }
    assert_eq!(list(Some("/a")), ["/a", "/ab"]);
    assert_eq!(list(Some("a")), Vec::<String>::new());
    assert_eq!(list(Some(" /a")), Vec::<String>::new());
}

#[test]
fn callers_learn_who_they_are() {
    let mut w = World::new();
    w.ids = vec![Id::new("digest", "amy:hash"), Id::new("super", ""), Id::new("ip", "1.2.3.4")];
    let body = w.read(OpCode::WhoAmI, &Bytes::from_static(b"whatever")).unwrap();
    let infos = from_slice::<WhoAmIResponse<'_>>(&body).unwrap().client_info.unwrap();
    let infos: Vec<_> =
        infos.iter().map(|i| (i.auth_scheme.as_deref().unwrap(), i.user.as_deref().unwrap())).collect();
    assert_eq!(infos, [("digest", "amy"), ("super", ""), ("ip", "1.2.3.4")]);
}

#[test]
fn sync_gives_back_the_path_and_ping_nothing() {
    let mut w = World::new();
    for path in ["/none", "bad path", ""] {
        let body = bytes(&quoll_jute::client::SyncRequest { path: Some(path.into()) });
        assert_eq!(w.read(OpCode::Sync, &body).unwrap(), body);
    }
    let null = Bytes::from_static(b"\xff\xff\xff\xff");
    assert_eq!(w.read(OpCode::Sync, &null).unwrap(), null);
    assert_eq!(w.read(OpCode::Ping, &Bytes::new()).unwrap(), b"");
}

#[test]
fn a_multi_read_answers_each_for_itself() {
    let mut w = World::new();
    w.make_with("/a", 31, 0);
    w.make_with("/a/k", 31, 0);
    w.make_with("/closed", 0, 0);
    let body = super::multi::of(vec![
        (4, at("/none", true)),
        (8, at("/a", true)),
        (4, at("/closed", true)),
        (4, at("/a", true)),
        (8, at("/none", true)),
    ]);
    let out = w.read(OpCode::MultiRead, &body).unwrap();
    let mut expected = Vec::new();
    let error = |code: i32, out: &mut Vec<u8>| {
        super::multi_read::header(-1, code, out);
        Writer::new(out).int(code);
    };
    error(-101, &mut expected);
    super::multi_read::header(8, 0, &mut expected);
    expected.extend(w.read(OpCode::GetChildren, &at("/a", false)).unwrap());
    error(-102, &mut expected);
    super::multi_read::header(4, 0, &mut expected);
    expected.extend(w.read(OpCode::GetData, &at("/a", false)).unwrap());
    error(-101, &mut expected);
    super::multi_read::end(&mut expected);
    assert_eq!(out, expected);
    assert_eq!(w.watches.set, [], "the watch flags do not count");
    assert_eq!(w.read(OpCode::MultiRead, &super::multi::of(vec![])).unwrap(), super::multi::results(vec![]));
}

#[test]
fn a_multi_read_that_cannot_be_served_fails_whole() {
    let mut w = World::new();
    let mut failing = |ops| {
        let mut out = Vec::new();
        let result = w.read_into(OpCode::MultiRead, &super::multi::of(ops), &mut out);
        assert_eq!(result, Err(ErrorCode::MarshallingError));
        out
    };
    // Not decoded at all: no body.
    assert_eq!(failing(vec![(4, at("/", false)), (1, create("/x", 0))]), b"");
    assert_eq!(failing(vec![(4, at("/", false)), (3, at("/", false))]), b"");
    // Decoded, and then found to be writes: an answer to nothing, but an answer.
    assert_eq!(failing(vec![(1, create("/x", 0))]), super::multi::results(vec![]));
}

#[test]
fn what_is_read_counts_with_its_path_and_stat_under_the_first_component() {
    let mut w = World::new();
    for path in ["/app", "/app/one", "/app/two"] {
        w.make(path);
    }
    let value = w.tree.lookup("/app").unwrap().data().unwrap().len() as u64;
    let mut bytes_of = |op, path: &str| {
        _ = w.read(op, &at(path, false));
        let mut taken = Vec::new();
        w.bytes_read.take(|namespace, totals| taken.push((namespace.to_owned(), totals.sum)));
        taken
    };
    let app = |bytes| vec![("app".to_owned(), 68 + bytes)];
    assert_eq!(bytes_of(OpCode::GetData, "/app"), app(4 + value));
    assert_eq!(bytes_of(OpCode::Exists, "/app/one"), app(8));
    for op in [OpCode::GetChildren, OpCode::GetChildren2] {
        assert_eq!(bytes_of(op, "/app"), app(4 + 6));
        assert_eq!(bytes_of(op, "/app/two"), app(8));
        assert_eq!(bytes_of(op, "/"), [], "it has no first component");
    }
    for op in [OpCode::GetData, OpCode::Exists, OpCode::GetChildren] {
        assert_eq!(bytes_of(op, "/app/none"), []);
    }
    assert_eq!(bytes_of(OpCode::GetAcl, "/app"), []);
}
