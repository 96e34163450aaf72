//! `mntr`: all metrics, one a line: `zk_<name>`, a tab, the value.

use crate::admin::metrics::{Number, gauges};
use crate::admin::text::{double, push};
use crate::admin::version::full_version;
use crate::admin::view::ServerView;

pub(super) fn text(view: &ServerView) -> String {
    let mut out = format!("zk_version\t{}\nzk_server_state\t{}\n", full_version(), view.mode.name());
    gauges::each(view, |name, value| line(&mut out, name, value));
    view.metrics.each(|name, value| line(&mut out, name, value));
    out
}

fn line(out: &mut String, name: &str, value: Number) {
    match value {
        Number::Whole(value) => push(out, format_args!("zk_{name}\t{value}\n")),
        Number::Decimal(value) => push(out, format_args!("zk_{name}\t{}\n", double(value))),
    }
}
