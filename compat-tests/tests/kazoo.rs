//! Kazoo's own published tests, run against both servers by kazoo's own harness.
//!
//! The harness launches its server as `java -cp … QuorumPeerMain zoo.cfg`; a program called `java`, first on
//! the search path, launches the server of the arm instead (`python/java-*.sh`). A pytest plugin of ours
//! (`python/compat_plugin.py`) leaves out what `python/kazoo-excluded.txt` lists and writes down outcomes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use compat_tests::arm::arms_to_run;
use compat_tests::build_folder::{crate_dir, entry, root, sources_key};
use compat_tests::diff::readable_difference;
use compat_tests::ports::Ports;
use compat_tests::process::Process;
use compat_tests::server::last_lines;
use compat_tests::tools::{Tool, run};
use compat_tests::{Arm, quoll, upstream};

/// How long the whole suite may take on one arm; an undisturbed run takes about three and a half minutes.
const PATIENCE: Duration = Duration::from_secs(1500);

/// Test name -> `passed`, or `failed` with the kind of failure.
type Outcomes = BTreeMap<String, String>;

#[test]
fn every_test_of_kazoo_has_the_same_outcome_on_both_servers() {
    let python = python_environment();
    let arms = arms_to_run();
    // Both at once: these tests wait more than they work.
    let outcomes = run_on_all(&python, &arms);
    let [java, quoll] = &outcomes[..] else {
        panic!("COMPAT_ARM is set, so Quoll was not compared with Java:\n{}", listing(&outcomes[0]));
    };
    assert!(java.len() > 400, "kazoo has become a suite of only {} tests", java.len());

    let mut differing: Vec<&String> =
        java.keys().chain(quoll.keys()).filter(|name| java.get(*name) != quoll.get(*name)).collect();
    differing.sort();
    differing.dedup();
    if !differing.is_empty() {
        // Some of kazoo's tests depend on timing. A difference counts when it is there a second time, with
        // nothing else running.
        eprintln!("once more, for their outcomes differ: {differing:#?}");
        let again: Vec<Outcomes> =
            (0..).zip(&arms).map(|(number, &arm)| run_suite(&python, arm, number, &differing)).collect();
        if let Some(difference) = readable_difference(&listing(&again[0]), &listing(&again[1])) {
            panic!(
                "outcomes on Quoll (+) differ from those on Java (-):\n{difference}\n{}",
                where_logs_are()
            );
        }
    }
    assert_eq!(arms, Arm::both(), "COMPAT_ARM is set, so Quoll was not compared with Java");
}

fn where_logs_are() -> String {
    format!("logs: {}", root().join("kazoo-run").display())
}

fn listing(outcomes: &Outcomes) -> String {
    outcomes.iter().map(|(name, outcome)| format!("{name}: {outcome}\n")).collect()
}

/// Runs the suite on all the arms at once.
fn run_on_all(python: &Path, arms: &[Arm]) -> Vec<Outcomes> {
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..)
            .zip(arms)
            .map(|(number, &arm)| scope.spawn(move || run_suite(python, arm, number, &[])))
            .collect();
        running.into_iter().map(|thread| thread.join().expect("the suite can be run")).collect()
    })
}

/// Runs the suite, or only the named tests, on one arm. `number` keeps two runs on the same arm apart.
fn run_suite(python: &Path, arm: Arm, number: usize, only: &[&String]) -> Outcomes {
    let round = if only.is_empty() { "first" } else { "again" };
    let dir = root().join("kazoo-run").join(format!("{number}-{arm}-{round}"));
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(dir.join("bin")).unwrap_or_else(|e| panic!("cannot create {}: {e}", dir.display()));
    install_launcher(arm, &dir.join("bin/java"));
    fs::write(dir.join("only.txt"), only.iter().map(|name| format!("{name}\n")).collect::<String>()).unwrap();

    let ports = Ports::reserve();
    let mut command = Command::new(python.join("bin/python"));
    let search_path = format!("{}:{}", dir.join("bin").display(), std::env::var("PATH").unwrap_or_default());
    command
        .args(["-m", "pytest", "--pyargs", "kazoo.tests", "-p", "compat_plugin", "-p", "no:cacheprovider"])
        .args(["-q", "--timeout", "60", "--rootdir", ".", "-W", "ignore"])
        .env("PATH", search_path)
        .env("PYTHONPATH", crate_dir().join("python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("COMPAT_EXCLUDED", crate_dir().join("python/kazoo-excluded.txt"))
        .env("COMPAT_ONLY", dir.join("only.txt"))
        .env("COMPAT_OUTCOMES", dir.join("outcomes.txt"))
        .env("COMPAT_JAVA", which_java())
        .env("ZOOKEEPER_VERSION", upstream::VERSION)
        .env("ZOOKEEPER_CLASSPATH", upstream::classpath())
        .env("ZOOKEEPER_CLUSTER_SIZE", "1")
        .env("ZOOKEEPER_PORT_OFFSET", ports.port(0).to_string())
        // Lets kazoo compare the server's version with the one it was promised.
        .env("CI", "true")
        .env_remove("ZOOKEEPER_PATH")
        .env_remove("ZOOKEEPER_JAAS_AUTH")
        .env_remove("ZOOKEEPER_OBSERVER_START_ID");
    if arm == Arm::Quoll {
        command.env("COMPAT_QUOLL", quoll::program());
    }
    let log_path = dir.join("log.txt");
    let log = File::create(&log_path).unwrap_or_else(|e| panic!("cannot create {}: {e}", log_path.display()));
    let mut process = Process::spawn(command, log, &dir);
    let status = process.wait(PATIENCE);
    drop(process);

    let said = || last_lines(&String::from_utf8_lossy(&fs::read(&log_path).unwrap_or_default()), 80);
    // 0: all passed, 1: some failed; anything else is no test run.
    let code = status.unwrap_or_else(|| panic!("{arm}: no end after {PATIENCE:?}\n{}", said())).code();
    assert!(matches!(code, Some(0 | 1)), "{arm}: pytest ended with {code:?}\n{}", said());
    let outcomes = fs::read_to_string(dir.join("outcomes.txt"))
        .unwrap_or_else(|e| panic!("{arm}: no outcomes ({e})\n{}", said()));
    outcomes
        .lines()
        .map(|line| {
            let (name, outcome) = line.split_once('\t').expect("a name and an outcome");
            assert!(
                !outcome.starts_with("skipped"),
                "{arm}: {name} was skipped ({outcome}); list or enable it"
            );
            (name.to_owned(), outcome.to_owned())
        })
        .collect()
}

fn install_launcher(arm: Arm, path: &Path) {
    let script = crate_dir().join(format!("python/java-{arm}.sh"));
    fs::copy(&script, path).unwrap_or_else(|e| panic!("cannot copy {}: {e}", script.display()));
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a file's mode can be set");
}

/// The real `java`, which the launcher called `java` hides.
fn which_java() -> PathBuf {
    drop(Tool::Java.command());
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .map(|dir| dir.join("java"))
        .find(|path| path.is_file())
        .expect("java is on the search path")
}

/// A virtual environment with kazoo (its tests come in its package) and what its tests need.
fn python_environment() -> PathBuf {
    let requirements = "python/requirements.txt";
    entry("kazoo", &sources_key(&[requirements]), |dir| {
        run(Tool::Python.command().args(["-m", "venv"]).arg(dir));
        // Every package is listed with its version, so nothing is resolved: `--no-deps`.
        run(Command::new(dir.join("bin/python"))
            .args(["-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps", "-r"])
            .arg(crate_dir().join(requirements)));
    })
}
