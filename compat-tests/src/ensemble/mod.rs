//! Ensembles of real processes: each member is the upstream server or Quoll, and may become the other one.
//!
//! Invariants: servers listen on 127.0.0.1 only, or on other addresses of the loopback when they are asked to have one
//! each; a member keeps its ports, its folder and its log over all its starts; everything is killed with the [`Ensemble`];
//! when the test panics, folders and logs are kept and the message says where.
//!
//! Start reading at [`Ensemble`]. Members: [`member`]; partitions: [`proxy`]; full disks: [`disk`].

pub mod disk;
pub mod member;
mod name_space;
pub mod names;
pub mod proxy;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::arm::Arm;
use crate::build_folder::{Lock, place};
use crate::ports::Ports;
use crate::state::SUPER_DIGEST;
use disk::SmallDisk;
use member::{Member, Mode};
use names::Names;
use proxy::{Id, Network, PeerPorts};

/// How long an ensemble may take to come to a state that it must come to.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// How many ensembles may run at once: their members wait more than they work, and two cores have room for two.
const AT_ONCE: usize = 2;

/// Waits until a test may have an ensemble (or several, one after the other), and keeps the place until it is dropped.
pub fn turn() -> Lock {
    place("ensembles", AT_ONCE)
}

/// Says what an ensemble consists of. Without further words: `tickTime` 500, `initLimit` 20, `syncLimit` 6,
/// every four-letter word allowed, logs of 256 KiB.
pub struct EnsembleBuilder {
    members: Vec<(Arm, bool)>,
    keys: Vec<(String, String)>,
    properties: Vec<(String, String)>,
    proxied: bool,
    own_hosts: bool,
    named: bool,
    master_port: Option<u16>,
    small_disk: Option<(Id, u32)>,
}

impl EnsembleBuilder {
    /// Adds a member without a vote.
    pub fn observer(mut self, arm: Arm) -> EnsembleBuilder {
        self.members.push((arm, true));
        self
    }

    /// A line of every zoo.cfg; a second value for a key replaces the first.
    pub fn key(mut self, key: &str, value: impl ToString) -> EnsembleBuilder {
        self.keys.retain(|(k, _)| k != key);
        self.keys.push((key.to_owned(), value.to_string()));
        self
    }

    /// A property of every command line, `-Dkey=value`.
    pub fn property(mut self, key: &str, value: impl ToString) -> EnsembleBuilder {
        self.properties.retain(|(k, _)| k != key);
        self.properties.push((key.to_owned(), value.to_string()));
        self
    }

    /// Members reach each other through proxies, so that partitions are possible.
    pub fn proxied(mut self) -> EnsembleBuilder {
        self.proxied = true;
        self
    }

    /// Each member has an address of its own for its peers, 127.0.0.N, so that all can have the same port.
    pub fn own_hosts(mut self) -> EnsembleBuilder {
        self.own_hosts = true;
        self
    }

    /// Members know each other by names, which [`Ensemble::move_host`] gives another address.
    pub fn named(mut self) -> EnsembleBuilder {
        self.named = true;
        self
    }

    /// Followers have this port for observers, and observers go there. When the ensemble is `proxied`, how they are
    /// brought up to date is seen; the members share one address then, so that one follower has the port.
    pub fn master_port(mut self, port: u16) -> EnsembleBuilder {
        self.master_port = Some(port);
        self
    }

    /// Gives one member a disk of its own with that much room.
    pub fn small_disk(mut self, id: Id, size_kib: u32) -> EnsembleBuilder {
        self.small_disk = Some((id, size_kib));
        self
    }

    /// The ensemble, nobody started.
    pub fn build(self) -> Ensemble {
        let scratch = tempfile::Builder::new()
            .prefix("quoll-ensemble-")
            .tempdir()
            .unwrap_or_else(|e| panic!("cannot create a temporary folder: {e}"));
        let ports = Ports::reserve_blocks((self.members.len() * 3).div_ceil(10) as u16);
        let port = |n: usize| ports.port(n as u16);
        let ids = 1..=self.members.len() as Id;
        let names = self.named.then(|| Arc::new(Names::new(scratch.path(), ids)));
        let members: BTreeMap<Id, Member> = (0..)
            .zip(&self.members)
            .map(|(n, &(arm, observer))| {
                let id = n as Id + 1;
                let dir = scratch.path().join(format!("member-{id}"));
                let member = Member {
                    id,
                    arm,
                    observer,
                    client_port: port(3 * n),
                    host: match (&names, self.own_hosts) {
                        (Some(_), _) => Names::of(id),
                        (None, true) => format!("127.0.0.{id}"),
                        (None, false) => "127.0.0.1".to_owned(),
                    },
                    names: names.clone(),
                    peer_ports: PeerPorts { quorum: port(3 * n + 1), election: port(3 * n + 2) },
                    disk: self.small_disk.filter(|(of, _)| *of == id).map(|(_, size_kib)| {
                        member::create_dir(&dir.join("data"));
                        SmallDisk::mount(&dir.join("data"), size_kib)
                    }),
                    dir,
                    process: None,
                    suspended: false,
                    log_before: 0,
                };
                (id, member)
            })
            .collect();
        let network = self
            .proxied
            .then(|| Network::new(&members.iter().map(|(id, member)| (*id, member.peer_ports)).collect()));
        let master_ports = self.master_port.map(|port| {
            let of = |member: &Member| match &network {
                Some(network) if member.observer => network.front_of_masters(member.id, port),
                _ => port,
            };
            members.iter().map(|(id, member)| (*id, of(member))).collect()
        });
        Ensemble {
            master_ports: master_ports.unwrap_or_default(),
            members,
            network,
            keys: self.keys,
            properties: self.properties,
            scratch: Some(scratch),
            _ports: ports,
        }
    }

    /// The ensemble with everybody started, the voter with the highest id leading.
    ///
    /// # Panics
    /// When it does not come to serve.
    #[track_caller]
    pub fn start(self) -> Ensemble {
        let mut ensemble = self.build();
        let leader = *ensemble.voters().last().expect("an ensemble has a voter");
        ensemble.start_led_by(leader);
        ensemble
    }
}

/// An ensemble.
pub struct Ensemble {
    members: BTreeMap<Id, Member>,
    /// What lies between the members, if the ensemble was asked to be `proxied`.
    network: Option<Network>,
    /// The `observerMasterPort` of each member.
    master_ports: BTreeMap<Id, u16>,
    keys: Vec<(String, String)>,
    properties: Vec<(String, String)>,
    scratch: Option<TempDir>,
    _ports: Ports,
}

impl Ensemble {
    /// A builder for an ensemble whose voters, from id 1 on, are these servers.
    pub fn of(voters: &[Arm]) -> EnsembleBuilder {
        let keys = [
            ("tickTime", "500"),
            ("initLimit", "20"),
            ("syncLimit", "6"),
            ("clientPortAddress", "127.0.0.1"),
            ("maxClientCnxns", "0"),
            ("maxSessionTimeout", "60000"),
            ("4lw.commands.whitelist", "*"),
            ("admin.enableServer", "false"),
        ];
        let properties = [
            ("zookeeper.preAllocSize", "256"),
            ("zookeeper.DigestAuthenticationProvider.superDigest", SUPER_DIGEST),
        ];
        let owned = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        EnsembleBuilder {
            members: voters.iter().map(|&arm| (arm, false)).collect(),
            keys: owned(&keys),
            properties: owned(&properties),
            proxied: false,
            own_hosts: false,
            named: false,
            master_port: None,
            small_disk: None,
        }
    }

    /// A member.
    pub fn member(&self, id: Id) -> &Member {
        &self.members[&id]
    }

    /// All members.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// The ids of all members.
    pub fn ids(&self) -> Vec<Id> {
        self.members.keys().copied().collect()
    }

    /// The ids of the members that vote.
    pub fn voters(&self) -> Vec<Id> {
        self.members.values().filter(|m| !m.observer).map(|m| m.id).collect()
    }

    /// The client addresses of all members.
    pub fn addrs(&self) -> Vec<SocketAddr> {
        self.members.values().map(Member::addr).collect()
    }

    /// What clients are given: all addresses with commas between.
    pub fn connect_string(&self) -> String {
        self.addrs().iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }

    /// The network between the members.
    ///
    /// # Panics
    /// When the ensemble was not asked to be `proxied`.
    pub fn network(&self) -> &Network {
        self.network.as_ref().expect("the ensemble is proxied")
    }

    /// Whether members reach each other through proxies.
    pub fn is_proxied(&self) -> bool {
        self.network.is_some()
    }

    /// The small disk of a member.
    ///
    /// # Panics
    /// When it has none.
    pub fn disk(&self, id: Id) -> &SmallDisk {
        self.members[&id].disk.as_ref().expect("the member has a small disk")
    }

    /// Starts a member's process and does not wait for anything.
    pub fn start(&mut self, id: Id) {
        let config = self.config(id);
        let properties = self.properties.clone();
        self.member_mut(id).launch(Some(&config), &properties);
    }

    /// Starts a member that may be reconfigured, whose file names only these, and does not wait for anything.
    pub fn start_knowing(&mut self, id: Id, known: &[Id]) {
        let mut text = format!("dataDir={}\n", self.members[&id].data_dir().display());
        for (key, value) in &self.keys {
            if key != "clientPortAddress" {
                text.push_str(&format!("{key}={value}\n"));
            }
        }
        text.push_str("reconfigEnabled=true\nstandaloneEnabled=false\n");
        if let Some(port) = self.master_ports.get(&id) {
            text.push_str(&format!("observerMasterPort={port}\n"));
        }
        for other in known {
            let role = if self.members[other].observer { "observer" } else { "participant" };
            text.push_str(&self.server_line(*other, role));
            text.push('\n');
        }
        let properties = self.properties.clone();
        self.member_mut(id).launch(Some(&text), &properties);
    }

    /// Starts a member with the files that it has: a reconfiguration may have changed them.
    pub fn start_as_it_is(&mut self, id: Id) {
        let properties = self.properties.clone();
        self.member_mut(id).launch(None, &properties);
    }

    /// Gives a member other ports for its peers: in its line, and in files that are written from now on. A member
    /// that runs goes on at the old ones until it is told.
    pub fn move_peer_ports(&mut self, id: Id, ports: PeerPorts) {
        self.member_mut(id).peer_ports = ports;
    }

    /// The name of a member stands for another address. A member that runs stays where it is.
    ///
    /// # Panics
    /// When the members have no names.
    pub fn move_host(&self, id: Id, address: &str) {
        self.members[&id].names.as_ref().expect("the members have names").move_to(id, address);
    }

    /// A member's line in a configuration, with the port for its clients.
    pub fn server_line(&self, id: Id, role: &str) -> String {
        let m = &self.members[&id];
        let PeerPorts { quorum, election } = m.peer_ports;
        format!("server.{id}={}:{quorum}:{election}:{role};127.0.0.1:{}", m.host, m.client_port)
    }

    /// Stops a member by SIGTERM and waits for its end.
    pub fn stop(&mut self, id: Id) {
        self.member_mut(id).end(Signal::TERM);
    }

    /// Kills a member by SIGKILL.
    pub fn kill(&mut self, id: Id) {
        self.member_mut(id).end(Signal::KILL);
    }

    /// Suspends a member's process (SIGSTOP).
    pub fn suspend(&mut self, id: Id) {
        self.member_mut(id).signal(Signal::STOP);
    }

    /// Lets a suspended member go on (SIGCONT).
    pub fn resume(&mut self, id: Id) {
        self.member_mut(id).signal(Signal::CONT);
    }

    /// How a member's process ended by itself, if it did.
    pub fn process_ended(&mut self, id: Id) -> Option<std::process::ExitStatus> {
        self.member_mut(id).process_ended()
    }

    /// Waits until a member's process ends by itself, and answers how.
    ///
    /// # Panics
    /// When it still runs after [`PATIENCE`].
    #[track_caller]
    pub fn wait_for_end(&mut self, id: Id) -> std::process::ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.process_ended(id) {
                return status;
            }
            assert!(Instant::now() < deadline, "member {id} goes on. {}", self.standing());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Stops a member and starts it as the other server on the same data directory, as an operator would.
    pub fn turn_into(&mut self, id: Id, arm: Arm) {
        self.stop(id);
        self.member_mut(id).arm = arm;
        self.start(id);
    }

    /// Changes what a stopped member is when it starts next.
    pub fn set_arm(&mut self, id: Id, arm: Arm) {
        assert!(!self.members[&id].runs(), "member {id} runs");
        self.member_mut(id).arm = arm;
    }

    /// Starts all members that do not run, `leader` and one other voter first, so that it is elected. For
    /// voters with equal data it must have the highest id of these two.
    ///
    /// # Panics
    /// When another one is elected or somebody does not come to serve.
    #[track_caller]
    pub fn start_led_by(&mut self, leader: Id) {
        let others = self.voters().into_iter().filter(|id| *id != leader && !self.members[id].runs());
        // A majority with the leader in it.
        let first: Vec<Id> = others.take(self.voters().len() / 2).collect();
        for id in first.into_iter().chain([leader]) {
            self.start(id);
        }
        self.wait_until("the wished leader leads", |e| e.member(leader).mode() == Some(Mode::Leader));
        for id in self.ids() {
            if !self.members[&id].runs() {
                self.start(id);
            }
        }
        self.wait_until_all_serve();
    }

    /// The member that says that it leads, if it is the only one.
    pub fn leader(&self) -> Option<Id> {
        let leaders: Vec<Id> =
            self.members.values().filter(|m| m.mode() == Some(Mode::Leader)).map(|m| m.id).collect();
        if let [leader] = leaders[..] { Some(leader) } else { None }
    }

    /// Waits until one member leads, and answers which.
    ///
    /// # Panics
    /// When none does within [`PATIENCE`].
    #[track_caller]
    pub fn wait_for_leader(&mut self) -> Id {
        let mut leader = None;
        self.wait_until("one member leads", |e| {
            leader = e.leader();
            leader.is_some()
        });
        leader.expect("just found")
    }

    /// Waits until every member that runs serves, one of them as the leader, and all of them are in sync with
    /// it. Answers the leader.
    ///
    /// # Panics
    /// When that does not happen within [`PATIENCE`], or a process has ended.
    #[track_caller]
    pub fn wait_until_all_serve(&mut self) -> Id {
        let mut leader = 0;
        self.wait_until("all serve and are in sync", |e| {
            let modes: Vec<(Id, Option<Mode>)> =
                e.members.values().filter(|m| m.runs()).map(|m| (m.id, m.mode())).collect();
            let leaders: Vec<Id> =
                modes.iter().filter(|(_, mode)| *mode == Some(Mode::Leader)).map(|(id, _)| *id).collect();
            let [one] = leaders[..] else { return false };
            leader = one;
            let count = |mode| modes.iter().filter(|(_, m)| *m == Some(mode)).count();
            let (followers, observers) = (count(Mode::Follower), count(Mode::Observer));
            let metric = |key| e.members[&one].metric(key).and_then(|v| v.parse::<f64>().ok());
            modes.len() == 1 + followers + observers
                && metric("synced_followers") == Some(followers as f64)
                && metric("synced_observers") == Some(observers as f64)
        });
        leader
    }

    /// Waits for a condition. A Java member that ended by the race that [`Member`] knows of is started again.
    ///
    /// # Panics
    /// When it does not come within [`PATIENCE`], or another process that should run has ended.
    #[track_caller]
    pub fn wait_until(&mut self, what: &str, mut holds: impl FnMut(&Ensemble) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds(self) {
            self.expect_processes(what);
            if Instant::now() > deadline {
                panic!("not so after {PATIENCE:?}: {what}. {}", self.standing());
            }
            thread::sleep(Duration::from_millis(25));
        }
    }

    #[track_caller]
    fn expect_processes(&mut self, what: &str) {
        for member in self.members.values_mut() {
            let Some(status) = member.process_ended() else { continue };
            if !member.ended_while_committing() {
                panic!("waiting until {what}: member {} ({}) ended with {status}", member.id, member.arm);
            }
            eprintln!("member {} (java) ended while it committed, and is started again", member.id);
            member.launch(None, &self.properties);
        }
    }

    /// One line per member: what it is and says.
    pub fn standing(&self) -> String {
        let mut out = String::from("The members:\n");
        for m in self.members.values() {
            let state = match (m.runs(), m.suspended) {
                (false, _) => "does not run".into(),
                (_, true) => "is suspended".into(),
                _ => match m.word("srvr") {
                    Ok(said) => {
                        said.lines().filter(|l| !l.contains("version")).collect::<Vec<_>>().join(", ")
                    }
                    Err(e) => format!("answers nothing ({e})"),
                },
            };
            out.push_str(&format!("  {} ({}): {state}\n", m.id, m.arm));
        }
        out
    }

    fn member_mut(&mut self, id: Id) -> &mut Member {
        self.members.get_mut(&id).unwrap_or_else(|| panic!("there is no member {id}"))
    }

    /// The zoo.cfg of a member.
    fn config(&self, id: Id) -> String {
        let me = &self.members[&id];
        let mut text = format!("dataDir={}\nclientPort={}\n", me.data_dir().display(), me.client_port);
        for (key, value) in &self.keys {
            text.push_str(&format!("{key}={value}\n"));
        }
        if me.observer {
            text.push_str("peerType=observer\n");
        }
        if let Some(port) = self.master_ports.get(&id) {
            text.push_str(&format!("observerMasterPort={port}\n"));
        }
        for other in self.members.values() {
            let ports = match &self.network {
                Some(network) if other.id != id => network.ports(id, other.id),
                _ => other.peer_ports,
            };
            let role = if other.observer { ":observer" } else { "" };
            text.push_str(&format!(
                "server.{}={}:{}:{}{role}\n",
                other.id, other.host, ports.quorum, ports.election
            ));
        }
        text
    }
}

impl Drop for Ensemble {
    fn drop(&mut self) {
        let failed = thread::panicking();
        if failed {
            eprintln!("{}", self.standing());
        }
        for member in self.members.values_mut() {
            // A copy of the small disk would be gone with the process that holds it.
            if failed && member.disk.is_some() {
                eprintln!("the disk of member {} was a small one and is gone", member.id);
            }
            drop(member.process.take());
        }
        if failed && let Some(scratch) = self.scratch.take() {
            for member in self.members.values() {
                eprintln!(
                    "--- end of the log of member {} ({}):\n{}",
                    member.id,
                    member.arm,
                    member.log_tail()
                );
            }
            eprintln!("folders and logs of the members are kept in {}", scratch.keep().display());
        }
    }
}
