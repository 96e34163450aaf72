//! A message of an election, of any version.
//!
//! Holds: what was read and is written says the same when it is read again; longer messages of the newest format are
//! read as their beginning says.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quoll::zab::election::Notification;

fuzz_target!(|input: &[u8]| {
    let Ok(notification) = Notification::read(input) else { return };
    assert!(input.len() >= 28);
    assert!(notification.config.as_ref().is_none_or(|c| c.len() + 44 <= input.len()));
    let bytes = notification.to_bytes();
    let again = Notification::read(&bytes).expect("what was written is read");
    assert_eq!(again.vote, notification.vote);
    assert_eq!(again.config.as_deref().unwrap_or(""), notification.config.as_deref().unwrap_or(""));
    assert_eq!(again.to_bytes(), bytes);
    if notification.version > 1 {
        let longer = [input, &[0xff; 9]].concat();
        assert_eq!(Notification::read(&longer), Ok(notification));
    }
});
