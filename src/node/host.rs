use super::{limits, options};
use crate::{
    admin::{EnsembleView, SettingsView, words::envi::Machine},
    config::{
        EnsembleConfig, ServerConfig,
        members::{Members, Role},
    },
    net::Host,
    storage::Disk,
    types::ServerId,
};
use parking_lot::Mutex;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

/// What words show of the machine, the process and the directories.
pub(super) struct ThisHost {
    disk: Arc<dyn Disk>,
    snapshots: PathBuf,
    logs: PathBuf,
    live: Arc<Mutex<Live>>,
}

/// Settings that a reconfiguration changes, among the others.
pub(super) struct Live(SettingsView);

impl Live {
    /// Another configuration counts.
    pub fn adopt(&mut self, members: &Members, me: ServerId) {
        let own = members.servers.get(&me);
        if let Some(client) = own.and_then(|member| member.client.as_ref()) {
            self.0.client_port = i32::from(client.port);
        }
        if let Some(ensemble) = &mut self.0.ensemble {
            if let Some(address) = own.and_then(|member| member.addresses.first()) {
                ensemble.election_port = address.election_port;
                ensemble.quorum_port = address.quorum_port;
            }
            ensemble.observer = members.role_of(me) == Role::Observer;
            ensemble.membership = Some(members.to_string());
        }
    }
}

impl ThisHost {
    pub fn new(config: &ServerConfig, ensemble: Option<&EnsembleConfig>, disk: Arc<dyn Disk>) -> Self {
        let storage = options::storage(config);
        let absolute = |dir: PathBuf| std::path::absolute(&dir).unwrap_or(dir);
        let (snapshots, logs) = (absolute(storage.snap_dir()), absolute(storage.log_dir()));
        let settings = SettingsView {
            client_port: config.connection.client_address.as_ref().map_or(-1, |a| i32::from(a.port)),
            secure_client_port: -1,
            data_dir: snapshots.display().to_string(),
            data_log_dir: logs.display().to_string(),
            tick_time_ms: config.session.tick_time_ms,
            max_client_connections: config.connection.per_ip_max,
            timeout_min_ms: config.session.timeout_min_ms,
            timeout_max_ms: config.session.timeout_max_ms,
            listen_backlog: config.connection.listen_backlog.map_or(-1, i64::from),
            server_id: ensemble.map_or(0, |e| e.server_id.0),
            ensemble: ensemble.map(view),
        };
        Self { disk, snapshots, logs, live: Arc::new(Mutex::new(Live(settings))) }
    }

    /// The settings that may change.
    pub fn live(&self) -> Arc<Mutex<Live>> {
        self.live.clone()
    }

    fn bytes_of(&self, dir: &Path) -> u64 {
        // A directory that cannot be read has nothing to show; the log and snapshots complain about it.
        self.disk.list(dir).map_or(0, |entries| entries.iter().filter(|e| !e.is_dir).map(|e| e.len).sum())
    }
}

/// What `conf` shows of the ensemble.
fn view(ensemble: &EnsembleConfig) -> EnsembleView {
    let own = ensemble.members.servers.get(&ensemble.server_id).and_then(|m| m.addresses.first());
    EnsembleView {
        init_limit: ensemble.init_limit_ticks,
        sync_limit: ensemble.sync_limit_ticks,
        election_port: own.map_or(0, |a| a.election_port),
        quorum_port: own.map_or(0, |a| a.quorum_port),
        observer: ensemble.role == Role::Observer,
        membership: Some(ensemble.members.to_string()),
    }
}

impl Host for ThisHost {
    fn dir_bytes(&self) -> (u64, u64) {
        (self.bytes_of(&self.snapshots), self.bytes_of(&self.logs))
    }

    fn open_files(&self) -> (Option<u64>, Option<u64>) {
        limits::open_files()
    }

    fn environment(&self) -> Vec<(String, String)> {
        let uname = rustix::system::uname();
        let text = |s: &std::ffi::CStr| s.to_string_lossy().into_owned();
        let var = |name: &str| std::env::var(name).unwrap_or_default();
        let (total, free) = memory().unwrap_or_default();
        Machine {
            host_name: text(uname.nodename()),
            temporary_dir: std::env::temp_dir().display().to_string(),
            os_name: text(uname.sysname()),
            os_arch: text(uname.machine()),
            os_version: text(uname.release()),
            user_name: var("USER"),
            user_home: var("HOME"),
            user_dir: std::env::current_dir().map(|d| d.display().to_string()).unwrap_or_default(),
            memory_free: free,
            memory_max: total,
            memory_total: resident().unwrap_or_default(),
        }
        .environment()
    }

    fn settings(&self) -> SettingsView {
        self.live.lock().0.clone()
    }
}

/// The machine's memory and what of it is available, bytes.
fn memory() -> Option<(u64, u64)> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let field = |name: &str| kilobytes(&text, name);
    Some((field("MemTotal:")?, field("MemAvailable:")?))
}

/// What this process has, bytes.
fn resident() -> Option<u64> {
    kilobytes(&fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")
}

fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kilobytes_are_read_from_the_systems_tables() {
        let text = "MemTotal:       16 kB\nMemFree:  3 kB\n";
        assert_eq!(kilobytes(text, "MemTotal:"), Some(16 * 1024));
        assert_eq!(kilobytes(text, "MemAvailable:"), None);
    }
}
