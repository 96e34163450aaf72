//! `envi`: machine and versions.

use crate::admin::text::push;
use crate::admin::version::full_version;
use crate::admin::view::ServerView;

/// What the machine is; an empty text is shown as `<NA>`, as Java does with what it does not know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// Host name.
    pub host_name: String,
    /// Directory for temporary files.
    pub temporary_dir: String,
    /// Kernel name, `Linux`.
    pub os_name: String,
    /// Architecture by Rust's name; shown by Java's.
    pub os_arch: String,
    /// Kernel version.
    pub os_version: String,
    /// Name of the user the server runs as.
    pub user_name: String,
    /// Home directory of that user.
    pub user_home: String,
    /// Directory the server was started in.
    pub user_dir: String,
    /// Memory this process could still get, bytes.
    pub memory_free: u64,
    /// Memory it may have, bytes.
    pub memory_max: u64,
    /// Memory it has, bytes.
    pub memory_total: u64,
}

impl Machine {
    /// The lines behind `zookeeper.version`, for [`ServerView::environment`]. There is no Java, which its lines
    /// say.
    #[must_use]
    pub fn environment(&self) -> Vec<(String, String)> {
        let arch = match self.os_arch.as_str() {
            "x86_64" => "amd64",
            other => other,
        };
        let megabytes = |bytes: u64| format!("{}MB", bytes >> 20);
        [
            ("host.name", self.host_name.as_str()),
            ("java.version", ""),
            ("java.vendor", ""),
            ("java.home", ""),
            ("java.class.path", ""),
            ("java.library.path", ""),
            ("java.io.tmpdir", &self.temporary_dir),
            ("java.compiler", ""),
            ("os.name", &self.os_name),
            ("os.arch", arch),
            ("os.version", &self.os_version),
            ("user.name", &self.user_name),
            ("user.home", &self.user_home),
            ("user.dir", &self.user_dir),
            ("os.memory.free", &megabytes(self.memory_free)),
            ("os.memory.max", &megabytes(self.memory_max)),
            ("os.memory.total", &megabytes(self.memory_total)),
        ]
        .map(|(key, value)| (key.to_owned(), if value.is_empty() { "<NA>" } else { value }.to_owned()))
        .to_vec()
    }
}

pub(super) fn text(view: &ServerView) -> String {
    let mut out = format!("Environment:\nzookeeper.version={}\n", full_version());
    for (key, value) in &view.environment {
        push(&mut out, format_args!("{key}={value}\n"));
    }
    out
}
