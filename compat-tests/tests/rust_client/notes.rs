//! The transcript a scenario writes, and the helpers all scenarios share.
//!
//! Times and session ids are masked; zxids are written as they are, since a scenario runs alone on a fresh
//! server.

use std::fmt::Debug;
use std::time::{Duration, SystemTime};

use compat_tests::{Server, ServerBuilder, compare_with};
use zookeeper_client::{Acls, Client, CreateMode, CreateOptions, Error, Stat, WatchedEvent};

/// How long a whole scenario may take.
const PATIENCE: Duration = Duration::from_secs(90);

/// Options of an open persistent node.
pub const OPEN: &CreateOptions<'static> = &CreateMode::Persistent.with_acls(Acls::anyone_all());
/// Options of an open ephemeral node.
pub const EPHEMERAL: &CreateOptions<'static> = &CreateMode::Ephemeral.with_acls(Acls::anyone_all());
/// Options of an open persistent sequential node.
pub const SEQUENTIAL: &CreateOptions<'static> =
    &CreateMode::PersistentSequential.with_acls(Acls::anyone_all());

/// Runs an async scenario on both servers, configured by `configure`, and compares its notes.
pub fn scenario_with(
    name: &str,
    configure: impl Fn(ServerBuilder) -> ServerBuilder,
    body: impl AsyncFn(&mut Server, &mut Notes),
) {
    compare_with(&format!("rust-client-{name}"), configure, |server| {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
        let mut notes = Notes::default();
        let outcome =
            runtime.block_on(async { tokio::time::timeout(PATIENCE, body(server, &mut notes)).await });
        outcome.unwrap_or_else(|_| panic!("no end after {PATIENCE:?}; so far:\n{}", notes.text));
        notes.text
    });
}

/// [`scenario_with`] on servers as they come.
pub fn scenario(name: &str, body: impl AsyncFn(&mut Server, &mut Notes)) {
    scenario_with(name, |server| server, body);
}

/// A client with a session timeout of 20 s.
pub async fn connect(server: &Server) -> Client {
    let connector = Client::connector().with_session_timeout(Duration::from_secs(20));
    connector.connect(&server.address()).await.expect("the server can be connected to")
}

/// The transcript of a scenario.
#[derive(Default)]
pub struct Notes {
    text: String,
}

impl Notes {
    pub fn section(&mut self, title: &str) {
        self.text.push_str(&format!("== {title}\n"));
    }

    pub fn say(&mut self, label: &str, what: impl Debug) {
        self.text.push_str(&format!("{label}: {what:?}\n"));
    }

    /// Notes whether a call succeeded, and hands its value on.
    pub fn outcome<T>(&mut self, label: &str, outcome: Result<T, impl Into<Error> + Debug>) -> Option<T> {
        match outcome {
            Ok(value) => {
                self.text.push_str(&format!("{label}: ok\n"));
                Some(value)
            }
            Err(error) => {
                self.say(label, error);
                None
            }
        }
    }

    pub fn stat(&mut self, client: &Client, stat: &Stat) {
        let owner = match stat.ephemeral_owner {
            0 => "none",
            id if id == client.session_id().0 => "own",
            _ => "other",
        };
        self.text.push_str(&format!(
            "  czxid {} mzxid {} pzxid {} ctime {} mtime {} version {} cversion {} aversion {} owner {owner} length {} children {}\n",
            stat.czxid,
            stat.mzxid,
            stat.pzxid,
            age(stat.ctime),
            age(stat.mtime),
            stat.version,
            stat.cversion,
            stat.aversion,
            stat.data_length,
            stat.num_children
        ));
    }

    /// An event with the zxid of what caused it.
    pub fn event(&mut self, label: &str, event: &WatchedEvent) {
        self.text.push_str(&format!("{label}: {} {} zxid {}\n", event.event_type, event.path, event.zxid));
    }

    /// Names, sorted, since upstream leaves their order open.
    pub fn names(&mut self, mut names: Vec<String>) {
        names.sort();
        self.text.push_str(&format!("  {} names: {}\n", names.len(), names.join(" ")));
    }

    pub async fn children(&mut self, client: &Client, path: &str) {
        if let Some((names, stat)) =
            self.outcome(&format!("get_children {path}"), client.get_children(path).await)
        {
            self.names(names);
            self.stat(client, &stat);
        }
    }

    pub async fn create(&mut self, client: &Client, path: &str, options: &CreateOptions<'_>) {
        let outcome = client.create(path, path.as_bytes(), options).await;
        if let Some((stat, sequence)) = self.outcome(&format!("create {path}"), outcome) {
            self.say("  sequence", sequence.into_i64());
            self.stat(client, &stat);
        }
    }
}

fn age(ms: i64) -> &'static str {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is after 1970");
    match now.as_millis() as i64 - ms {
        _ if ms == 0 => "0",
        -5_000..=120_000 => "recent",
        _ => "absurd",
    }
}
