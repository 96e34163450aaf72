//! `conf`: the settings in force.

use crate::admin::text::push;
use crate::admin::view::ServerView;

pub(super) fn text(view: &ServerView) -> String {
    let settings = &view.settings;
    let mut out = String::new();
    push(
        &mut out,
        format_args!(
            "clientPort={}\nsecureClientPort={}\ndataDir={}\ndataDirSize={}\ndataLogDir={}\ndataLogSize={}\n\
             tickTime={}\nmaxClientCnxns={}\nminSessionTimeout={}\nmaxSessionTimeout={}\n\
             clientPortListenBacklog={}\nserverId={}\n",
            settings.client_port,
            settings.secure_client_port,
            settings.data_dir,
            view.data_dir_bytes,
            settings.data_log_dir,
            view.log_dir_bytes,
            settings.tick_time_ms,
            settings.max_client_connections,
            settings.timeout_min_ms,
            settings.timeout_max_ms,
            settings.listen_backlog,
            settings.server_id,
        ),
    );
    if let Some(ensemble) = &settings.ensemble {
        push(
            &mut out,
            format_args!(
                "initLimit={}\nsyncLimit={}\nelectionAlg=3\nelectionPort={}\nquorumPort={}\npeerType={}\n",
                ensemble.init_limit,
                ensemble.sync_limit,
                ensemble.election_port,
                ensemble.quorum_port,
                u8::from(ensemble.observer),
            ),
        );
        if let Some(membership) = &ensemble.membership {
            push(&mut out, format_args!("membership: \n{membership}"));
        }
    }
    out
}
