//! Members come, go, and change what they are.

use super::{members::Members, *};

const CONN: ConnId = ConnId { worker: 0, serial: 1 };

/// A member of an ensemble that may be reconfigured, which believes that these are its members.
fn dynamic(me: i64, ids: &[i64]) -> MemberConfig {
    let lines: Vec<String> = ids.iter().map(|id| line(*id, "participant")).collect();
    MemberConfig {
        members: Members::read(&lines.join("\n"), false).unwrap(),
        reconfig_enabled: true,
        standalone_enabled: false,
        ..config(ServerId(me), 1)
    }
}

fn line(id: i64, role: &str) -> String {
    format!("server.{id}=h{id}:{}:{}:{role};h{id}:{}", 2000 + id, 3000 + id, 4000 + id)
}

/// Servers 1 to `n`, with a leader.
fn ensemble(n: i64) -> Cluster {
    let mut c = Cluster::new(0);
    let ids: Vec<i64> = (1..=n).collect();
    ids.iter().for_each(|id| c.start(dynamic(*id, &ids)));
    c.pass(3000);
    assert!(ids.iter().all(|id| c.part(*id).serves()));
    c
}

/// A client that changes the configuration again and again.
struct Admin {
    at: i64,
    session: SessionId,
    xid: i32,
}

impl Admin {
    fn at(c: &mut Cluster, id: i64) -> Self {
        Self { at: id, session: c.connect(id, CONN), xid: 0 }
    }

    /// Whether it was answered; by what, the tree says.
    fn ask(&mut self, c: &mut Cluster, joining: &[String], leaving: &str) -> bool {
        self.xid += 1;
        let joining = joining.join(",");
        let record = client::ReconfigRequest {
            joining_servers: Some((&*joining).into()),
            leaving_servers: Some(leaving.into()),
            new_members: None,
            cur_config_id: -1,
        };
        let mut body = Vec::new();
        record.write(&mut Writer::new(&mut body));
        let before = c.nodes[&ServerId(self.at)].answered[&CONN];
        c.request(self.at, CONN, self.session, self.xid, OpCode::Reconfig, body);
        c.nodes[&ServerId(self.at)].answered[&CONN] > before
    }

    fn write(&mut self, c: &mut Cluster) {
        self.xid += 1;
        let before = c.nodes[&ServerId(self.at)].answered[&CONN];
        c.create(self.at, CONN, self.session, self.xid, &format!("/n{}", self.xid));
        assert_eq!(c.nodes[&ServerId(self.at)].answered[&CONN], before + 1);
    }
}

impl Cluster {
    /// The servers in the configuration znode.
    fn members(&self, id: i64) -> Vec<(i64, char)> {
        let text = self.config_text(id);
        let members = Members::read_active(&text).unwrap();
        let role = |m: &members::Member| if m.role == members::Role::Observer { 'o' } else { 'p' };
        members.servers.iter().map(|(id, m)| (id.0, role(m))).collect()
    }

    fn config_text(&self, id: i64) -> String {
        let node = self.nodes[&ServerId(id)].tree.lookup(CONFIG_PATH).unwrap();
        String::from_utf8(node.data().unwrap().to_vec()).unwrap()
    }

    /// All of these have the configuration active, in tree and files, and nothing is to come.
    fn agree(&self, ids: &[i64]) {
        let text = self.config_text(ids[0]);
        for id in ids {
            assert_eq!(self.config_text(*id), text, "server {id}");
            let node = &self.nodes[&ServerId(*id)];
            assert_eq!(node.active.as_ref().unwrap().to_string(), text, "server {id}");
            assert_eq!(node.next, None, "server {id}");
            assert_eq!(node.tree.digest(), self.nodes[&ServerId(ids[0])].tree.digest());
        }
    }
}

#[test]
fn a_new_ensembles_configuration_gets_the_version_of_its_first_epoch() {
    let c = ensemble(3);
    c.agree(&[1, 2, 3]);
    assert!(c.config_text(1).ends_with("version=100000000"), "{}", c.config_text(1));
}

#[test]
fn without_reconfig_enabled_nothing_is_kept_and_nothing_asked_for_is_done() {
    let mut c = Cluster::new(3);
    c.pass(3000);
    let mut admin = Admin::at(&mut c, 1);
    assert!(admin.ask(&mut c, &[], "2"));
    assert!(c.nodes.values().all(|n| n.active.is_none() && n.next.is_none()));
    assert!(c.config_text(1).ends_with("version=0"));
}

#[test]
fn a_follower_leaves_and_comes_back_as_an_observer_and_then_votes_again() {
    let mut c = ensemble(3);
    let leader = c.leader();
    let other = if leader == 1 { 2 } else { 1 };
    let mut admin = Admin::at(&mut c, leader);
    admin.write(&mut c);
    assert!(admin.ask(&mut c, &[], &other.to_string()));
    // It stays, without a vote.
    c.agree(&[1, 2, 3]);
    assert_eq!(c.members(1).len(), 2);
    assert_eq!(c.part(other), Part::Following { leader: ServerId(leader) });
    admin.write(&mut c);
    assert!(admin.ask(&mut c, &[line(other, "observer")], ""));
    assert_eq!(c.part(other), Part::Observing { leader: ServerId(leader) });
    admin.write(&mut c);
    assert!(admin.ask(&mut c, &[line(other, "participant")], ""));
    assert_eq!(c.part(other), Part::Following { leader: ServerId(leader) });
    admin.write(&mut c);
    c.agree(&[1, 2, 3]);
    assert_eq!(c.members(1), [(1, 'p'), (2, 'p'), (3, 'p')]);
    // And nobody had to be elected, nor was anybody lost later.
    assert_eq!(c.nodes[&ServerId(1)].tree.last_zxid().epoch(), Epoch(1));
    let parts = [1, 2, 3].map(|id| c.part(id));
    c.pass(20_000);
    assert_eq!(parts, [1, 2, 3].map(|id| c.part(id)));
}

#[test]
fn a_leader_that_is_removed_hands_over_without_an_election() {
    let mut c = ensemble(3);
    let old = c.leader();
    let at = if old == 1 { 2 } else { 1 };
    let mut admin = Admin::at(&mut c, at);
    admin.write(&mut c);
    // No time passes: it is a matter of messages.
    assert!(admin.ask(&mut c, &[], &old.to_string()), "the answer comes before the change of leaders");
    let new = c.leader();
    assert_ne!(new, old);
    assert_eq!(c.nodes[&ServerId(new)].member.epochs().unwrap().1, Epoch(2));
    assert_eq!(c.part(old), Part::Following { leader: ServerId(new) });
    c.agree(&[1, 2, 3]);
    assert_eq!(c.members(new).len(), 2);
    let session = c.connect(old, conn(7));
    c.create(old, conn(7), session, 1, "/through-the-old-one");
    assert!(c.nodes[&ServerId(new)].tree.lookup("/through-the-old-one").is_some());
}

#[test]
fn a_leader_that_becomes_an_observer_hands_over_and_observes() {
    let mut c = ensemble(3);
    let old = c.leader();
    let mut admin = Admin::at(&mut c, old);
    admin.ask(&mut c, &[line(old, "observer")], "");
    let new = c.leader();
    assert_ne!(new, old);
    assert_eq!(c.part(old), Part::Observing { leader: ServerId(new) });
    c.agree(&[1, 2, 3]);
}

#[test]
fn an_ensemble_grows_from_one_to_five_and_shrinks_to_one_and_every_write_is_there() {
    let mut c = ensemble(1);
    let mut admin = Admin::at(&mut c, 1);
    let mut known = vec![1];
    for new in 2..=5 {
        // It knows of those that there are, and of itself.
        known.push(new);
        c.start(dynamic(new, &known));
        c.pass(2000);
        assert_eq!(c.part(new), Part::Following { leader: ServerId(1) }, "without a vote at first");
        admin.write(&mut c);
        assert!(admin.ask(&mut c, &[line(new, "participant")], ""));
        assert_eq!(c.members(new).len() as i64, new);
        admin.write(&mut c);
        c.agree(&known);
    }
    // The majority of five counts now.
    for leaving in [5, 3, 4, 2] {
        assert!(admin.ask(&mut c, &[], &leaving.to_string()));
        c.kill(leaving);
        admin.write(&mut c);
        c.pass(6000);
        assert_eq!(c.part(1), Part::Leading);
    }
    assert_eq!(c.members(1), [(1, 'p')]);
    let writes = (1..=admin.xid).filter(|n| c.nodes[&ServerId(1)].tree.lookup(&format!("/n{n}")).is_some());
    assert_eq!(writes.count(), 12);
}

#[test]
fn a_configuration_without_a_quorum_in_step_is_refused_and_changes_nothing() {
    let mut c = ensemble(3);
    let leader = c.leader();
    let mut admin = Admin::at(&mut c, leader);
    let before = c.config_text(leader);
    let joining: Vec<String> = (4..=8).map(|id| line(id, "participant")).collect();
    assert!(admin.ask(&mut c, &joining, ""));
    assert_eq!(c.config_text(leader), before);
    admin.write(&mut c);
    c.agree(&[1, 2, 3]);
}

#[test]
fn who_leads_next_completes_a_reconfiguration_that_only_was_proposed() {
    let mut c = ensemble(3);
    let leader = c.leader();
    let (a, b) =
        ([1, 2, 3].into_iter().filter(|id| *id != leader).collect::<Vec<_>>(), line(leader, "observer"));
    let mut admin = Admin::at(&mut c, leader);
    c.deaf = Some(ServerId(leader));
    assert!(!admin.ask(&mut c, &[b], ""), "nobody's acknowledgement was heard");
    for id in [1, 2, 3] {
        let node = &c.nodes[&ServerId(id)];
        assert_eq!(node.next.as_ref().map(|n| n.voters().count()), Some(2), "server {id} has seen it");
        assert_eq!(node.active.as_ref().map(|n| n.voters().count()), Some(3));
    }
    c.kill(leader);
    c.pass(5000);
    let new = c.leader();
    assert!(a.contains(&new));
    c.agree(&a);
    let observers = c.members(new).into_iter().filter(|m| m.1 == 'o').collect::<Vec<_>>();
    assert_eq!(observers, [(leader, 'o')]);
}

#[test]
fn a_member_that_missed_a_reconfiguration_hears_of_it_while_it_looks() {
    let mut c = ensemble(3);
    let leader = c.leader();
    let away = if leader == 1 { 2 } else { 1 };
    c.kill(away);
    c.pass(10_000);
    let mut admin = Admin::at(&mut c, leader);
    assert!(admin.ask(&mut c, &[line(away, "observer")], ""));
    // With the configuration of its files it would vote.
    c.start(dynamic(away, &[1, 2, 3]));
    c.pass(3000);
    assert_eq!(c.part(away), Part::Observing { leader: ServerId(leader) });
    c.agree(&[1, 2, 3]);
}

/// The ensemble of 1, 2 and 3, all of them with that configuration to come from before their start.
fn to_come(next: &[String], knows: &[i64]) -> Cluster {
    let next = Members { version: 9, ..Members::read(&next.join("\n"), false).unwrap() };
    let mut c = Cluster::new(0);
    for id in 1..=3 {
        let mut config = dynamic(id, &[1, 2, 3]);
        config.members.version = 5;
        config.next = Some(next.clone()).filter(|_| knows.contains(&id));
        c.start(config);
    }
    c
}

#[test]
fn a_configuration_to_come_at_the_start_needs_a_quorum_of_both_and_is_completed_by_who_leads() {
    let mut c = to_come(&[line(1, "participant"), line(2, "participant"), line(3, "observer")], &[2, 3]);
    // The old one has a quorum without server 1, the new one has not.
    c.nodes.get_mut(&ServerId(1)).unwrap().up = false;
    c.pass(5000);
    assert!([2, 3].iter().all(|id| !c.part(*id).serves()));
    c.nodes.get_mut(&ServerId(1)).unwrap().up = true;
    c.pass(5000);
    let new = c.leader();
    c.agree(&[1, 2, 3]);
    assert_eq!(c.members(new), [(1, 'p'), (2, 'p'), (3, 'o')]);
    assert_eq!(c.part(3), Part::Observing { leader: ServerId(new) });
}

#[test]
fn a_configuration_to_come_at_the_start_is_forgotten_when_the_leader_does_not_know_it() {
    // Server 1 may have led and proposed it, and the others never have heard of it.
    let mut c = to_come(&[line(1, "participant"), line(2, "observer"), line(3, "observer")], &[1]);
    c.nodes.get_mut(&ServerId(1)).unwrap().up = false;
    c.pass(3000);
    let leader = c.leader();
    assert!(c.nodes[&ServerId(1)].next.is_some());
    c.nodes.get_mut(&ServerId(1)).unwrap().up = true;
    c.pass(5000);
    assert_eq!(c.part(1), Part::Following { leader: ServerId(leader) });
    assert_eq!(c.members(1), [(1, 'p'), (2, 'p'), (3, 'p')]);
    assert_eq!(c.nodes[&ServerId(1)].next, None);
    // It would have been a leader without anybody else.
    c.kill(2);
    c.kill(3);
    c.pass(20_000);
    assert_eq!(c.part(1), Part::Looking);
}

/// A leader died between forcing a reconfiguration's txn and writing the configuration to its file. After its start it led by
/// the old configuration and committed the txn as a part of its history: the client's change was done and had no effect.
#[test]
fn a_member_has_seen_the_configuration_that_is_in_its_log_whatever_its_files_say() {
    let mut tree = Tree::new(TreeOptions::default());
    let version = Zxid::new(Epoch(1), 7);
    let next = Members {
        version: version.0 as u64,
        ..Members::read(&[1, 2].map(|id| line(id, "participant")).join("\n"), false).unwrap()
    };
    tree.set_config(next.to_string().as_bytes(), version.0, 0);
    let now = Now { mono_ms: 0, wall_ms: 1_700_000_000_000 };
    let config = dynamic(1, &[1, 2, 3]);
    let epoch = Some(Epoch(1));
    let mut member = Member::new(config, pipeline_config(ServerId(1), true), &[], version, epoch, epoch, now);
    let mut outputs = Vec::new();
    member.accept(now, &tree, Input::Tick, &mut outputs);
    member.settle(now, &tree, &mut outputs);
    let seen = outputs.iter().position(|o| *o == Output::SeeConfig { next: Some(Box::new(next.clone())) });
    let votes = outputs.iter().position(|o| matches!(o, Output::Notify { .. }));
    assert!(seen.expect("it is seen") < votes.expect("it looks"), "{outputs:?}");
    // And nothing older takes its place in the tree.
    member.apply(&mut tree, &mut WatchManager::new(1), &mut Deliveries::new(1), 1);
    assert_eq!(tree.lookup(CONFIG_PATH).unwrap().data(), Some(next.to_string().as_bytes()));
}
