use rustix::{
    process::{Resource, Rlimit, getrlimit, setrlimit},
    thread::disable_transparent_huge_pages,
};
use tracing::{debug, warn};

/// Files that are open besides connections: logs, snapshots, runtimes, standard streams.
const OWN_FILES: u64 = 64;

/// Fewer than this deserve a word even when the number of connections is not limited.
const COMFORTABLE_FILES: u64 = 4096;

/// Raises the limit on open files as far as it may be raised, and warns when that is less than what the
/// configuration allows for. `connections` is `maxCnxns`, 0 for no limit.
pub(super) fn raise_open_files(connections: u32) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            warn!("the limit on open files cannot be raised: {error}");
        }
    }
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let wanted = match connections {
        0 => COMFORTABLE_FILES,
        n => u64::from(n) + OWN_FILES,
    };
    if files < wanted {
        warn!(
            "this process may have {files} open files, {wanted} are advisable; connections beyond that will be \
             refused (raise it with ulimit -n, or LimitNOFILE of the service)"
        );
    }
}

/// Open files now and at most, as far as the system tells.
pub(super) fn open_files() -> (Option<u64>, Option<u64>) {
    let open = std::fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as u64);
    (open, getrlimit(Resource::Nofile).current)
}

/// Asks the system for pages of ordinary size. With huge ones a buffer that was needed for a moment keeps two megabytes,
/// and 5,000 idle sessions took 25 MB instead of 7; reads of a large tree were not slower without them.
pub(super) fn take_small_pages() {
    if let Err(error) = disable_transparent_huge_pages(true) {
        debug!("huge pages stay as the system has them: {error}");
    }
}
