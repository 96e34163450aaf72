//! The harness itself, against servers of both arms: start, four-letter words, stop, kill, start again.

use compat_tests::{Arm, compare, compare_with};

#[test]
fn a_started_server_answers_ruok_until_it_is_stopped() {
    compare("foundation-ruok", |server| {
        let alive = server.four_letter_word("ruok").unwrap();
        server.stop();
        let dead = server.four_letter_word("ruok").is_err();
        format!("running: {alive}\nstopped: refused {dead}\n")
    });
}

#[test]
fn each_arm_runs_its_own_program() {
    for arm in Arm::both() {
        let server = arm.server().start();
        let program = std::fs::read_link(format!("/proc/{}/exe", server.pid().unwrap())).unwrap();
        assert_eq!(program.file_name().unwrap().to_str().unwrap(), arm.to_string());
    }
}

#[test]
fn a_killed_server_starts_again_on_its_port_and_data() {
    compare("foundation-kill", |server| {
        let before = server.port();
        server.kill();
        server.start_again();
        assert_eq!(server.port(), before);
        let srvr = server.four_letter_word("srvr").unwrap();
        srvr.lines()
            .filter(|line| line.starts_with("Mode") || line.starts_with("Zxid"))
            .collect::<Vec<_>>()
            .join("\n")
    });
}

#[test]
fn keys_of_zoo_cfg_reach_the_server() {
    compare_with(
        "foundation-keys",
        |builder| builder.key("tickTime", 1234).key("maxClientCnxns", 7),
        |server| {
            let conf = server.four_letter_word("conf").unwrap();
            let masked = |line: &&str| {
                line.starts_with("tickTime") || line.starts_with("maxClient") || line.contains("Session")
            };
            conf.lines().filter(masked).collect::<Vec<_>>().join("\n")
        },
    );
}

#[test]
fn a_server_that_refuses_its_configuration_is_reported_with_its_log() {
    for arm in Arm::both() {
        let failure = arm.server().key("tickTime", "soon").try_start().map(|_| ()).unwrap_err();
        assert!(failure.status.is_some_and(|status| !status.success()), "{arm}: {failure:?}");
        assert!(failure.log.contains("soon"), "{arm} does not say which value it refuses: {}", failure.log);
    }
}

/// A thread that still ran for a moment took what the leader had sent meanwhile, and a test that was to show what a
/// member does not know of failed.
#[test]
fn no_thread_of_a_suspended_server_goes_on() {
    for arm in Arm::both() {
        let server = arm.server().start();
        for _ in 0..50 {
            server.suspend();
            let states = thread_states(server.pid().unwrap());
            assert!(states.len() > 1 && states.iter().all(|state| *state == 'T'), "{arm}: {states:?}");
            server.resume();
        }
    }
}

fn thread_states(pid: u32) -> Vec<char> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let state = |thread: std::io::Result<std::fs::DirEntry>| {
        let stat = std::fs::read_to_string(thread.unwrap().path().join("stat")).unwrap();
        // The state comes after the name, which may hold anything.
        stat.rsplit_once(')').unwrap().1.trim_start().chars().next().unwrap()
    };
    threads.map(state).collect()
}
