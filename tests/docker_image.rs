//! What can be checked of the container image without an engine: its configuration, and that the Dockerfile and the
//! page about it say the same.

use quoll::config::resolve::{Start, read};
use std::{
    fs,
    path::{Path, PathBuf},
};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docker").join(name)
}

#[test]
fn the_configuration_of_the_image_is_that_of_a_standalone_server_and_gives_no_notice() {
    let settings = read(&Start::File(file("zoo.cfg")), &[]).unwrap();
    assert!(settings.ensemble.is_none());
    assert!(settings.notices.is_empty(), "{:?}", settings.notices);
    let storage = &settings.server.storage;
    assert_eq!(
        (storage.data_dir.as_path(), storage.data_log_dir.as_path()),
        ("/data".as_ref(), "/datalog".as_ref())
    );
    let address = settings.server.connection.client_address.unwrap();
    assert_eq!(address.socket_addr().unwrap().port(), 2181);
}

#[test]
fn the_dockerfile_and_its_page_say_the_same() {
    let dockerfile = fs::read_to_string(file("Dockerfile")).unwrap();
    let page = fs::read_to_string(file("README.md")).unwrap();
    for (line, words) in [
        ("EXPOSE 2181", "port 2181"),
        ("VOLUME [\"/data\", \"/datalog\"]", "`/datalog`"),
        ("CMD [\"server\", \"/conf/zoo.cfg\"]", "`/conf/zoo.cfg`"),
        ("--uid 1000", "1000:1000"),
        ("USER zookeeper", "`zookeeper`"),
    ] {
        assert!(dockerfile.contains(line), "the Dockerfile lacks {line}");
        assert!(page.contains(words), "the page lacks {words}");
    }
    let manifest = fs::read_to_string(file("../Cargo.toml")).unwrap();
    let rust =
        manifest.lines().find_map(|l| l.strip_prefix("rust-version = \"")).unwrap().trim_end_matches('"');
    assert!(
        dockerfile.contains(&format!("FROM rust:{rust}-")),
        "the Dockerfile builds with another Rust than {rust}"
    );
}
