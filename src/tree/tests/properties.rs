//! Random histories against the model, and the laws of replay.

use super::{
    audit::audit,
    history::{Live, anything},
    model::Model,
    *,
};

#[test]
fn a_live_history_gives_what_the_model_gives() {
    for seed in 0..60 {
        let (mut live, mut tree) = (Live::new(seed), new_tree());
        for step in 0..200 {
            let txn = live.next();
            for result in apply(&mut tree, &txn).results {
                let fits = matches!(result, OpResult::Ok(_) | OpResult::Err(0 | -2 | -101));
                assert!(fits, "seed {seed} step {step}: {result:?}");
            }
            same(&dump(&tree), &live.model.nodes, &format!("seed {seed} step {step} {txn:?}"));
            audit(&tree);
            assert_eq!(tree.last_zxid(), Zxid(live.zxid));
        }
    }
}

#[test]
fn txns_that_fit_nothing_do_what_the_model_does_and_never_panic() {
    for seed in 0..60 {
        let (mut random, mut model, mut tree) = (Random(seed), Model::new(), new_tree());
        for step in 0..300 {
            // Not always rising.
            let txn = anything(&mut random, 1 + step / 2 + (step % 7));
            apply(&mut tree, &txn);
            model.apply(&txn);
            same(&dump(&tree), &model.nodes, &format!("seed {seed} step {step} {txn:?}"));
            audit(&tree);
            assert_eq!(tree.last_zxid().0, model.last_zxid);
        }
    }
}

#[test]
fn applying_any_rest_of_a_history_again_changes_nothing() {
    for seed in 0..40 {
        let (mut live, mut tree) = (Live::new(seed), new_tree());
        live.full_lists = true;
        let history: Vec<Txn> = (0..120).map(|_| live.next()).collect();
        history.iter().for_each(|t| drop(apply(&mut tree, t)));
        for from in (0..history.len()).step_by(7) {
            history[from..].iter().for_each(|t| drop(apply(&mut tree, t)));
            same(&dump(&tree), &live.model.nodes, &format!("seed {seed} again from {from}"));
            audit(&tree);
        }
    }
}

/// Upstream writes its snapshots while txns go on: the ACL table first, then znode by znode as it is by then, each
/// with the children it has by then. The replay over such a file must end in the true state.
#[test]
fn replay_over_a_fuzzy_snapshot_ends_in_the_true_state() {
    let mut fuzzy = 0;
    for seed in 0..150 {
        let (mut live, mut tree) = (Live::new(seed), new_tree());
        live.full_lists = true;
        for _ in 0..60 {
            apply(&mut tree, &live.next());
        }
        let start = tree.last_zxid();
        let mut loader = Tree::loader(options());
        for (index, list) in tree.acls.table() {
            loader.acl(index, list).unwrap();
        }
        let (mut queue, mut log, mut random) = (vec!["/".to_string()], Vec::new(), Random(seed));
        while let Some(path) = queue.pop() {
            if let Some(node) = tree.lookup(&path) {
                let file_path = if path == "/" { "" } else { &path };
                loader.node(file_path, node.data(), node.acl_index(), &node.stat_persisted()).unwrap();
                queue.extend(node.children().map(|c| c.path()));
            }
            for _ in 0..random.below(4) {
                let txn = live.next();
                apply(&mut tree, &txn);
                log.push(txn);
            }
        }
        let mut loaded = loader.finish(start);
        fuzzy += usize::from(dump(&loaded) != dump(&tree));
        log.iter().for_each(|t| drop(apply(&mut loaded, t)));
        same(&dump(&loaded), &dump(&tree), &format!("seed {seed}"));
        assert_eq!(loaded.digest(), tree.digest(), "seed {seed}");
        assert_eq!(loaded.unknown_acls(), [0; 0], "seed {seed}");
        audit(&loaded);
    }
    assert!(fuzzy > 100, "only {fuzzy} snapshots were fuzzy at all");
}
