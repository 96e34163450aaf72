//! Four-letter words of members that do not serve.

use compat_tests::arm::compare_arms;
use compat_tests::build_folder::lock;
use compat_tests::ensemble::Ensemble;

#[test]
fn a_member_without_a_leader_says_that_it_does_not_serve() {
    let _alone = lock("ensemble-tests");
    compare_arms("members-words-without-a-leader", |arm| {
        let mut e = Ensemble::of(&[arm; 3]).build();
        e.start(1);
        e.wait_until("it answers", |e| e.member(1).word("ruok").is_ok_and(|answer| answer == "imok"));
        let words = [
            "ruok", "srvr", "stat", "mntr", "cons", "crst", "dump", "isro", "wchs", "wchc", "wchp", "srst",
            "dirs",
        ];
        words.map(|word| format!("{word}: {}\n", e.member(1).word(word).unwrap().trim())).concat()
    });
}
