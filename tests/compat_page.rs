//! `docs/compat.md` tells what works; this keeps it true.
//!
//! Every feature of the checklist (`tests/golden/checklist.txt`) has exactly one row, in the same order; every row has a
//! state that says something; every test it names is there and runs.

use std::{collections::HashSet, fs, path::Path};

struct Row {
    /// Line of the page, counted from 1.
    line: usize,
    area: String,
    feature: String,
    state: String,
    tests: String,
}

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The rows below the headings that name areas.
fn rows(page: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut area = String::new();
    for (i, line) in page.lines().enumerate() {
        if let Some(heading) = line.strip_prefix("## ") {
            area = heading.to_owned();
        }
        let Some(cells) = line.strip_prefix("| ").and_then(|l| l.strip_suffix(" |")) else { continue };
        let cells: Vec<&str> = cells.split(" | ").map(str::trim).collect();
        let [feature, since, state, tests] = cells[..] else {
            panic!("docs/compat.md:{}: {} columns instead of 4", i + 1, cells.len())
        };
        if (feature, since) != ("feature", "since") {
            let [feature, state, tests] = [feature, state, tests].map(str::to_owned);
            rows.push(Row { line: i + 1, area: area.clone(), feature, state, tests });
        }
    }
    rows
}

/// Names of the test functions in a source file, those inside of `proptest!` included, ignored ones not.
fn tests_in(source: &str) -> HashSet<&str> {
    let mut found = HashSet::new();
    let mut is_test = false;
    for line in source.lines().map(str::trim) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if line.starts_with("#[ignore") {
            is_test = false;
        } else if let Some(name) = line.trim_start_matches("async ").strip_prefix("fn ") {
            if is_test {
                found.insert(name.split(['(', '<']).next().unwrap_or(name));
            }
            is_test = false;
        } else if !line.starts_with("#[") && !line.starts_with("//") {
            is_test = false;
        }
    }
    found
}

/// What is wrong with a page. `source` gives the text of a file of the repository.
fn mistakes(page: &str, checklist: &str, source: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
    let mut wrong = Vec::new();
    let rows = rows(page);
    let listed: Vec<(&str, &str)> = checklist.lines().filter_map(|l| l.split_once('\t')).collect();
    let found: Vec<(&str, &str)> = rows.iter().map(|r| (r.area.as_str(), r.feature.as_str())).collect();
    let mut seen = HashSet::new();
    for (row, key) in rows.iter().zip(&found) {
        if !seen.insert(*key) {
            wrong.push(format!("line {}: {} has two rows", row.line, row.feature));
        }
        if !listed.contains(key) {
            wrong.push(format!("line {}: {}, {} is not in the checklist", row.line, row.area, row.feature));
        }
    }
    for (area, feature) in listed.iter().filter(|key| !seen.contains(*key)) {
        wrong.push(format!("{area}, {feature} has no row"));
    }
    if wrong.is_empty() && found != listed {
        wrong.push("the rows are in another order than the checklist".to_owned());
    }
    for row in &rows {
        let (word, note) = row.state.split_once(": ").unwrap_or((&row.state, ""));
        let says_enough = match word {
            "yes" | "no" => note.is_empty() != row.state.contains(':'),
            "partly" => !note.is_empty(),
            _ => false,
        };
        if !says_enough {
            wrong.push(format!("line {}: the state {:?} says too little", row.line, row.state));
        }
        let tests: Vec<&str> = row.tests.split(", ").filter(|t| !t.is_empty()).collect();
        if (word == "no") != tests.is_empty() {
            wrong.push(format!("line {}: {} with {} tests", row.line, word, tests.len()));
        }
        for test in tests {
            let named =
                test.strip_prefix('`').and_then(|t| t.strip_suffix('`')).and_then(|t| t.split_once("::"));
            let there = named
                .is_some_and(|(file, name)| source(file).is_some_and(|text| tests_in(&text).contains(name)));
            if !there {
                wrong.push(format!("line {}: there is no test {test}", row.line));
            }
        }
    }
    wrong
}

#[test]
fn every_feature_has_a_row_and_every_test_it_names_is_there() {
    let source = |file: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        fs::read_to_string(path).ok()
    };
    let checklist = read("tests/golden/checklist.txt");
    assert!(checklist.lines().count() > 400, "the checklist is not whole");
    let wrong = mistakes(&read("docs/compat.md"), &checklist, &source);
    assert!(wrong.is_empty(), "docs/compat.md:\n{}", wrong.join("\n"));
}

#[test]
fn a_page_that_is_not_true_is_noticed() {
    const CHECKLIST: &str = "crud\tcreate\ncrud\tdelete\nacl\tsasl\n";
    const SOURCE: &str = "
        #[test]
        /// It works.
        fn it_works() {}
        fn helper() {}
        #[test]
        #[ignore = \"later\"]
        fn it_sleeps() {}
        proptest! {
            #[test]
            fn it_always_works(n in 0..9) {}
        }
        #[tokio::test(flavor = \"current_thread\")]
        async fn it_waits() {}";
    let source = |file: &str| (file == "a.rs").then(|| SOURCE.to_owned());
    let page = |rows: &[&str]| {
        let head = "# Page\n\n## crud\n\n| feature | since | state | test |\n|---|---|---|---|\n";
        format!("{head}{}\n", rows.join("\n"))
    };
    let check = |rows: &[&str]| mistakes(&page(rows), CHECKLIST, &source);
    let (create, delete) = ("| create | 3.0.0 | yes | `a.rs::it_works` |", "| delete | 3.0.0 | no |  |");
    let sasl = "## acl\n| sasl | 3.4.0 | partly: a word of it | `a.rs::it_always_works`, `a.rs::it_waits` |";
    assert_eq!(check(&[create, delete, sasl]), Vec::<String>::new());
    for (what, rows) in [
        ("missing", vec![create, delete]),
        ("twice", vec![create, create, delete, sasl]),
        ("order", vec![delete, create, sasl]),
        ("unknown", vec![create, delete, "| more | 3.0.0 | no |  |", sasl]),
        ("no test", vec!["| create | 3.0.0 | yes |  |", delete, sasl]),
        ("no state", vec!["| create | 3.0.0 | maybe | `a.rs::it_works` |", delete, sasl]),
        ("no reason", vec!["| create | 3.0.0 | partly | `a.rs::it_works` |", delete, sasl]),
        ("another file", vec!["| create | 3.0.0 | yes | `b.rs::it_works` |", delete, sasl]),
        ("a helper", vec!["| create | 3.0.0 | yes | `a.rs::helper` |", delete, sasl]),
        ("ignored", vec!["| create | 3.0.0 | yes | `a.rs::it_sleeps` |", delete, sasl]),
        ("a test of nothing", vec![create, "| delete | 3.0.0 | no | `a.rs::it_works` |", sasl]),
    ] {
        assert_eq!(check(&rows).len(), 1, "{what}: {:?}", check(&rows));
    }
}
