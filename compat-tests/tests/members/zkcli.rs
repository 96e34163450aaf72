//! zkCli at a member.

use compat_tests::arm::compare_arms;
use compat_tests::ensemble::member::Mode;
use compat_tests::ensemble::{Ensemble, turn};
use compat_tests::upstream::tool;

#[test]
fn zkcli_prints_the_configuration_alike() {
    let _turn = turn();
    compare_arms("members-zkcli-config", |arm| {
        let mut e = Ensemble::of(&[arm; 3]).build();
        for id in [1, 3] {
            e.start_knowing(id, &[1, 2, 3]);
        }
        e.wait_until("member 3 leads", |e| e.member(3).mode() == Some(Mode::Leader));
        e.start_knowing(2, &[1, 2, 3]);
        e.wait_until_all_serve();
        let mut seen = String::new();
        for args in [&["config"][..], &["config", "-c"], &["config", "-s"]] {
            seen += &format!("{}:\n{}\n", args.join(" "), zkcli(&e, args));
        }
        for member in e.members() {
            let ports = [member.client_port, member.peer_ports.quorum, member.peer_ports.election];
            for (port, name) in ports.iter().zip(["client", "quorum", "election"]) {
                seen = seen.replace(&port.to_string(), &format!("{name}-{}", member.id));
            }
        }
        seen
    });
}

/// What a command prints at member 1, without what the program says of itself and of times.
fn zkcli(e: &Ensemble, args: &[&str]) -> String {
    let addr = e.member(1).addr().to_string();
    let printed = tool("org.apache.zookeeper.ZooKeeperMain", &[&["-server", &addr], args].concat());
    let lines = printed.lines().skip_while(|line| !line.starts_with("WatchedEvent"));
    let lines: Vec<_> = lines.filter(|line| !line.contains("time = ") && !line.trim().is_empty()).collect();
    assert!(lines.len() > 1, "zkCli printed:\n{printed}");
    lines.join("\n")
}
