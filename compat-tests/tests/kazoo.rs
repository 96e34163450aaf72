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
use std::thread::ScopedJoinHandle;
use std::time::Duration;

use compat_tests::arm::arms_to_run;
use compat_tests::build_folder::{crate_dir, entry, root, sources_key};
use compat_tests::diff::readable_difference;
use compat_tests::ports::Ports;
use compat_tests::process::Process;
use compat_tests::server::last_lines;
use compat_tests::tools::{Tool, run};
use compat_tests::{Arm, quoll, upstream};

/// How long the suite may take on one arm; an undisturbed run of all takes about three and a half minutes.
const PATIENCE: Duration = Duration::from_secs(1500);

/// Test name -> `passed`, or `failed` with the kind of failure.
type Outcomes = BTreeMap<String, String>;

/// The servers of one run.
#[derive(Clone)]
struct Setup {
    /// Names it in messages and folders.
    name: String,
    /// By the member's number; one alone is a standalone server.
    members: Vec<Arm>,
}

/// What one process of pytest runs.
#[derive(Clone, Copy)]
enum Tests<'a> {
    /// Every so many-th test, from this one on: what waits more than it works takes less time in parts beside each other.
    Part(usize, usize),
    /// Those of these names.
    Named(&'a [&'a String]),
}

#[test]
fn every_test_of_kazoo_has_the_same_outcome_on_both_servers() {
    let arms = arms_to_run();
    let setups: Vec<Setup> = (0..)
        .zip(&arms)
        // The number keeps two runs on the same arm apart.
        .map(|(number, &arm)| Setup { name: format!("{number}-{arm}"), members: vec![arm] })
        .collect();
    if let [only] = &setups[..] {
        let outcomes = run_suite(&python_environment(), only, Tests::Part(0, 1));
        panic!("COMPAT_ARM is set, so Quoll was not compared with Java:\n{}", listing(&outcomes));
    }
    same_outcomes(&setups);
    assert_eq!(arms, Arm::both(), "COMPAT_ARM is set, so Quoll was not compared with Java");
}

#[test]
fn every_test_of_kazoo_has_the_same_outcome_on_ensembles() {
    use Arm::{Java, Quoll};
    // Of the mixed one, the Quoll members are up first and have the higher numbers: one of them leads.
    same_outcomes(
        &[("java", [Java; 3]), ("quoll", [Quoll; 3]), ("mixed", [Java, Quoll, Quoll])]
            .map(|(name, members)| Setup { name: format!("ensemble-{name}"), members: members.to_vec() }),
    );
}

/// Runs the suite on all setups and asserts that the outcomes are those of the first.
fn same_outcomes(setups: &[Setup]) {
    let python = python_environment();
    // All at once: these tests wait more than they work.
    let outcomes = run_on_all(&python, setups);
    let (java, others) = outcomes.split_first().expect("there is a reference");
    assert!(java.len() > 400, "kazoo has become a suite of only {} tests", java.len());

    let mut differing: Vec<&String> = others
        .iter()
        .flat_map(|other| java.keys().chain(other.keys()).filter(|name| java.get(*name) != other.get(*name)))
        .collect();
    differing.sort();
    differing.dedup();
    if !differing.is_empty() {
        // Some of kazoo's tests depend on timing. A difference counts when it is there a second time, with
        // nothing else running.
        eprintln!("once more, for their outcomes differ: {differing:#?}");
        let again: Vec<Outcomes> =
            setups.iter().map(|setup| run_suite(&python, setup, Tests::Named(&differing))).collect();
        for (setup, other) in setups.iter().zip(&again).skip(1) {
            if let Some(difference) = readable_difference(&listing(&again[0]), &listing(other)) {
                panic!(
                    "outcomes on {} (+) differ from those on {} (-):\n{difference}\n{}",
                    setup.name,
                    setups[0].name,
                    where_logs_are()
                );
            }
        }
    }
}

fn where_logs_are() -> String {
    format!("logs: {}", root().join("kazoo-run").display())
}

fn listing(outcomes: &Outcomes) -> String {
    outcomes.iter().map(|(name, outcome)| format!("{name}: {outcome}\n")).collect()
}

/// Runs the suite on all the setups at once, in two parts where a test takes long: on an ensemble.
fn run_on_all(python: &Path, setups: &[Setup]) -> Vec<Outcomes> {
    std::thread::scope(|scope| {
        let running: Vec<Vec<_>> = setups
            .iter()
            .map(|setup| {
                let parts = if setup.members.len() > 1 { 2 } else { 1 };
                let run = move |part| scope.spawn(move || run_suite(python, setup, Tests::Part(part, parts)));
                (0..parts).map(run).collect()
            })
            .collect();
        let join = |part: ScopedJoinHandle<'_, Outcomes>| part.join().expect("the suite can be run");
        running.into_iter().map(|parts| parts.into_iter().flat_map(join).collect()).collect()
    })
}

/// Runs these tests of the suite on one setup.
fn run_suite(python: &Path, setup: &Setup, tests: Tests<'_>) -> Outcomes {
    let (round, part, only) = match tests {
        Tests::Part(part, parts) => (format!("first-{part}"), format!("{part}/{parts}"), &[][..]),
        Tests::Named(names) => ("again".to_owned(), "0/1".to_owned(), names),
    };
    let dir = root().join("kazoo-run").join(format!("{}-{round}", setup.name));
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(dir.join("bin")).unwrap_or_else(|e| panic!("cannot create {}: {e}", dir.display()));
    let (launcher, excluded) = match &setup.members[..] {
        [arm] => (format!("java-{arm}.sh"), "kazoo-excluded.txt"),
        _ => ("java-members.sh".to_owned(), "kazoo-excluded-ensemble.txt"),
    };
    install_launcher(&launcher, &dir.join("bin/java"));
    fs::write(dir.join("only.txt"), only.iter().map(|name| format!("{name}\n")).collect::<String>()).unwrap();

    // Kazoo's harness takes ten for each server.
    let ports = Ports::reserve_blocks(setup.members.len() as u16);
    let mut command = Command::new(python.join("bin/python"));
    let search_path = format!("{}:{}", dir.join("bin").display(), std::env::var("PATH").unwrap_or_default());
    command
        .args(["-m", "pytest", "--pyargs", "kazoo.tests", "-p", "compat_plugin", "-p", "no:cacheprovider"])
        .args(["-q", "--timeout", "60", "--rootdir", ".", "-W", "ignore"])
        .env("PATH", search_path)
        .env("PYTHONPATH", crate_dir().join("python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("COMPAT_EXCLUDED", crate_dir().join("python").join(excluded))
        .env("COMPAT_PART", part)
        .env("COMPAT_ONLY", dir.join("only.txt"))
        .env("COMPAT_OUTCOMES", dir.join("outcomes.txt"))
        .env("COMPAT_JAVA", which_java())
        .env("ZOOKEEPER_VERSION", upstream::VERSION)
        .env("ZOOKEEPER_CLASSPATH", upstream::classpath())
        .env("COMPAT_MEMBERS", setup.members.iter().map(Arm::to_string).collect::<Vec<_>>().join(","))
        .env("COMPAT_LAUNCHERS", crate_dir().join("python"))
        .env("ZOOKEEPER_CLUSTER_SIZE", setup.members.len().to_string())
        .env("ZOOKEEPER_PORT_OFFSET", ports.port(0).to_string())
        // Lets kazoo compare the server's version with the one it was promised.
        .env("CI", "true")
        .env_remove("ZOOKEEPER_PATH")
        .env_remove("ZOOKEEPER_JAAS_AUTH")
        .env_remove("ZOOKEEPER_OBSERVER_START_ID");
    if setup.members.contains(&Arm::Quoll) {
        command.env("COMPAT_QUOLL", quoll::program());
    }
    let log_path = dir.join("log.txt");
    let log = File::create(&log_path).unwrap_or_else(|e| panic!("cannot create {}: {e}", log_path.display()));
    let mut process = Process::spawn(command, log, &dir);
    let status = process.wait(PATIENCE);
    drop(process);

    let name = &setup.name;
    let said = || last_lines(&String::from_utf8_lossy(&fs::read(&log_path).unwrap_or_default()), 80);
    // 0: all passed, 1: some failed; anything else is no test run.
    let code = status.unwrap_or_else(|| panic!("{name}: no end after {PATIENCE:?}\n{}", said())).code();
    assert!(matches!(code, Some(0 | 1)), "{name}: pytest ended with {code:?}\n{}", said());
    let outcomes = fs::read_to_string(dir.join("outcomes.txt"))
        .unwrap_or_else(|e| panic!("{name}: no outcomes ({e})\n{}", said()));
    outcomes
        .lines()
        .map(|line| {
            let (test, outcome) = line.split_once('\t').expect("a name and an outcome");
            assert!(
                !outcome.starts_with("skipped"),
                "{name}: {test} was skipped ({outcome}); list or enable it"
            );
            (test.to_owned(), outcome.to_owned())
        })
        .collect()
}

fn install_launcher(script: &str, path: &Path) {
    let script = crate_dir().join("python").join(script);
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
