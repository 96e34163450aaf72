//! The same for ensembles of each kind.

use compat_tests::arm::Arm::{self, Java, Quoll};
use compat_tests::ensemble::proxy::Id;
use compat_tests::ensemble::{Ensemble, EnsembleBuilder, turn};
use compat_tests::raw::Client;

/// Three voters, of which the last leads at first: all of one kind, and each kind leading followers of both.
pub const KINDS: [[Arm; 3]; 4] = [[Java; 3], [Quoll; 3], [Java, Quoll, Java], [Quoll, Java, Quoll]];

/// Runs `rule` on a started ensemble of each kind.
pub fn on_each(with: impl Fn(EnsembleBuilder) -> EnsembleBuilder, rule: impl FnMut(&mut Ensemble)) {
    on(&KINDS, with, rule);
}

/// Runs `rule` on a started ensemble of each of these kinds.
pub fn on(
    kinds: &[[Arm; 3]],
    with: impl Fn(EnsembleBuilder) -> EnsembleBuilder,
    rule: impl FnMut(&mut Ensemble),
) {
    each(kinds, |builder| with(builder).start(), rule);
}

/// Runs `rule` on an ensemble of each kind of which nobody is started.
pub fn on_each_unstarted(with: impl Fn(EnsembleBuilder) -> EnsembleBuilder, rule: impl FnMut(&mut Ensemble)) {
    each(&KINDS, |builder| with(builder).build(), rule);
}

fn each(kinds: &[[Arm; 3]], make: impl Fn(EnsembleBuilder) -> Ensemble, mut rule: impl FnMut(&mut Ensemble)) {
    let _turn = turn();
    for kinds in kinds {
        println!("voters: {kinds:?}");
        rule(&mut make(Ensemble::of(kinds)));
    }
}

/// With observers of both kinds, members 4 and 5.
pub fn observed(builder: EnsembleBuilder) -> EnsembleBuilder {
    builder.observer(Java).observer(Quoll)
}

/// A client of a member that serves, with a session that outlasts the test.
#[track_caller]
pub fn client(ensemble: &Ensemble, member: Id) -> Client {
    Client::connect(ensemble.member(member).addr(), 30_000).expect("the member serves")
}
