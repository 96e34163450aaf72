//! Where a walk takes place: at one server, or at two followers of an ensemble.

use std::net::SocketAddr;

use compat_tests::Server;
use compat_tests::ensemble::Ensemble;
use compat_tests::raw::Client;

pub trait Place {
    /// Where the session with this number is.
    fn address(&self, who: usize) -> SocketAddr;
    fn is_ensemble(&self) -> bool;
    /// The zxid before the first session.
    fn first_zxid(&self) -> i64;
    /// Lets the client's server catch up with what was acknowledged anywhere.
    fn catch_up(&self, client: &mut Client);
    /// Waits for every notification that is on its way.
    fn fetch_events(&self, client: &mut Client);
    /// Kills the server, or a follower, and waits until it serves again.
    fn restart(&mut self);
}

impl Place for Server {
    fn address(&self, _: usize) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port()))
    }

    fn is_ensemble(&self) -> bool {
        false
    }

    fn first_zxid(&self) -> i64 {
        1
    }

    fn catch_up(&self, _: &mut Client) {}

    fn fetch_events(&self, client: &mut Client) {
        // A ping's answer comes after them.
        client.ping().expect("the server answers");
    }

    fn restart(&mut self) {
        self.kill();
        self.start_again();
    }
}

impl Place for Ensemble {
    fn address(&self, who: usize) -> SocketAddr {
        self.member(who as u64 + 1).addr()
    }

    fn is_ensemble(&self) -> bool {
        true
    }

    fn first_zxid(&self) -> i64 {
        (1 << 32) + 1
    }

    fn catch_up(&self, client: &mut Client) {
        client.sync("/").expect("the member answers").expect("the member is in step");
    }

    fn fetch_events(&self, client: &mut Client) {
        self.catch_up(client);
    }

    fn restart(&mut self) {
        self.kill(1);
        self.start(1);
        self.wait_until_all_serve();
    }
}
