//! The metrics: name, state, meaning.
//!
//! All of them are printed, so that dashboards made for ZooKeeper find what they look for. [`State`] says which
//! really count; a test holds it against the source: a metric is `Counted` exactly when code outside of this
//! module adds to it.

/// Whether a metric is more than a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The server adds to it.
    Counted,
    /// Always 0 so far: what it counts exists here or will, but nothing adds to it yet.
    Later,
    /// Always 0: it counts something of the Java server's inside that does not exist here.
    Never,
}

/// Declares an enum with a row per metric.
macro_rules! metrics {
    ($(#[$doc:meta])* $kind:ident { $($variant:ident $name:literal $state:ident $meaning:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $kind {
            $(#[doc = $meaning] $variant,)*
        }

        impl $kind {
            /// All of them, in the order in which they are printed.
            pub const ALL: [$kind; [$($name),*].len()] = [$($kind::$variant),*];

            /// Upstream's name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $($kind::$variant => $name,)*
                }
            }

            /// Whether the server adds to it.
            #[must_use]
            pub fn state(self) -> State {
                match self {
                    $($kind::$variant => State::$state,)*
                }
            }

            /// What it counts, in a line.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self {
                    $($kind::$variant => $meaning,)*
                }
            }
        }
    };
}

metrics! {
    /// A number that grows.
    Counter {
        SnapshotErrorCount "snapshot_error_count" Later "snapshots over the AdminServer that failed";
        SnapshotRateLimitedCount "snapshot_rate_limited_count" Later "snapshots over the AdminServer refused as too many";
        RestoreErrorCount "restore_error_count" Later "restores over the AdminServer that failed";
        RestoreRateLimitedCount "restore_rate_limited_count" Later "restores over the AdminServer refused as too many";
        LookingCount "looking_count" Counted "times this server looked for a leader";
        DiffCount "diff_count" Counted "learners brought up to date by transactions";
        SnapCount "snap_count" Counted "learners brought up to date by a snapshot";
        CommitCount "commit_count" Counted "commits sent by a leader";
        ConnectionRequestCount "connection_request_count" Counted "requests to open or resume a session";
        ConnectionRejected "connection_rejected" Counted "connections refused by the throttle or a limit";
        BytesReceivedCount "bytes_received_count" Counted "bytes of requests";
        UnrecoverableErrorCount "unrecoverable_error_count" Later "errors after which the server stops";
        AddDeadWatcherStallTime "add_dead_watcher_stall_time" Never "time spent waiting for the cleaner of watches";
        DeadWatchersQueued "dead_watchers_queued" Never "closed connections given to the cleaner of watches";
        DeadWatchersCleared "dead_watchers_cleared" Never "closed connections the cleaner of watches has done with";
        ResponsePacketCacheHits "response_packet_cache_hits" Later "getData replies taken from the cache";
        ResponsePacketCacheMisses "response_packet_cache_misses" Later "getData replies the cache did not have";
        ResponsePacketGetChildrenCacheHits "response_packet_get_children_cache_hits" Counted "getChildren replies taken from the cache";
        ResponsePacketGetChildrenCacheMisses "response_packet_get_children_cache_misses" Counted "getChildren replies the cache did not have";
        EnsembleAuthSuccess "ensemble_auth_success" Counted "clients that named the right ensemble";
        EnsembleAuthFail "ensemble_auth_fail" Counted "clients that named another ensemble";
        EnsembleAuthSkip "ensemble_auth_skip" Counted "clients that named an ensemble where none is configured";
        PrepProcessorRequestQueued "prep_processor_request_queued" Later "requests given to the core to be checked";
        OutstandingChangesQueued "outstanding_changes_queued" Later "records of changes under way made";
        OutstandingChangesRemoved "outstanding_changes_removed" Later "records of changes under way done with";
        RevalidateCount "revalidate_count" Counted "sessions that learners asked a leader about";
        ConnectionDropCount "connection_drop_count" Counted "client connections closed";
        ConnectionRevalidateCount "connection_revalidate_count" Counted "sessions resumed on another connection";
        SessionlessConnectionsExpired "sessionless_connections_expired" Counted "connections closed because no session was opened in time";
        StaleSessionsExpired "stale_sessions_expired" Counted "sessions that expired";
        RequestCommitQueued "request_commit_queued" Never "commits given to the Java server's commit stage";
        ThrottledOps "throttled_ops" Counted "requests answered with error -127";
        LearnerProposalReceivedCount "learner_proposal_received_count" Counted "proposals a learner received";
        LearnerCommitReceivedCount "learner_commit_received_count" Counted "commits a learner received";
        SyncProcessorRequestQueued "sync_processor_request_queued" Counted "transactions given to the log";
        ProposalCount "proposal_count" Counted "proposals sent by a leader";
        QuitLeadingDueToDisloyalVoter "quit_leading_due_to_disloyal_voter" Later "times a leader stepped down because a voter left it";
        StaleRequests "stale_requests" Counted "requests whose connection was closed or whose session had run out";
        StaleRequestsDropped "stale_requests_dropped" Counted "such requests that were dropped";
        StaleReplies "stale_replies" Later "replies whose connection was closed";
        RequestThrottleWaitCount "request_throttle_wait_count" Counted "times a request waited for the throttle";
        LargeRequestsRejected "large_requests_rejected" Counted "requests refused because large ones took too much memory";
        DigestMismatchesCount "digest_mismatches_count" Counted "digests of the tree that differ from those written";
        UnsuccessfulHandshake "unsuccessful_handshake" Later "TLS handshakes that failed";
        InsecureAdminCount "insecure_admin_count" Later "requests to the AdminServer without TLS";
        TlsHandshakeExceeded "tls_handshake_exceeded" Later "connections closed because too many TLS handshakes were under way";
        CnxnClosedWithoutZkServerRunning "cnxn_closed_without_zk_server_running" Later "connections closed because no clients were served";
        SkipLearnerRequestToNextProcessorCount "skip_learner_request_to_next_processor_count" Never "learners' requests that took a shorter way";
        RequestsNotForwardedToCommitProcessor "requests_not_forwarded_to_commit_processor" Never "learners' requests that took a shorter way in a leader";
        ResponseBytes "response_bytes" Counted "bytes of replies";
        WatchBytes "watch_bytes" Counted "bytes of notifications";
    }
}

metrics! {
    /// Average, smallest, largest, count and sum of values. Times are milliseconds.
    Summary {
        FsyncTime "fsynctime" Counted "forcing the log";
        SnapshotTime "snapshottime" Counted "writing a snapshot";
        RestoreTime "restore_time" Later "a restore over the AdminServer";
        DbInitTime "dbinittime" Counted "loading snapshot and logs at start";
        FollowerSyncTime "follower_sync_time" Counted "a follower catching up";
        ObserverSyncTime "observer_sync_time" Counted "an observer catching up";
        ElectionTime "election_time" Counted "an election";
        ConnectionTokenDeficit "connection_token_deficit" Counted "tokens missing in the connection throttle";
        InflightSnapCount "inflight_snap_count" Later "learners receiving a snapshot at once";
        InflightDiffCount "inflight_diff_count" Later "learners receiving transactions at once";
        NodeCreatedWatchCount "node_created_watch_count" Counted "watches triggered by a creation";
        NodeDeletedWatchCount "node_deleted_watch_count" Counted "watches triggered by a deletion";
        NodeChangedWatchCount "node_changed_watch_count" Counted "watches triggered by changed data";
        NodeChildrenWatchCount "node_children_watch_count" Counted "watches triggered by changed children";
        PrepProcessorQueueSize "prep_processor_queue_size" Counted "requests waiting for the core";
        PrepProcessTime "prep_process_time" Later "checking a request";
        ProposalProcessTime "proposal_process_time" Later "proposing a transaction";
        UnavailableTime "unavailable_time" Counted "time without service";
        LeaderUnavailableTime "leader_unavailable_time" Counted "time without a leader";
        RequestsInSessionQueue "requests_in_session_queue" Never "requests of a session in the Java server's commit stage";
        PendingSessionQueueSize "pending_session_queue_size" Never "sessions that wait in that stage";
        ReadsAfterWriteInSessionQueue "reads_after_write_in_session_queue" Never "reads that wait there behind a write";
        ReadsIssuedFromSessionQueue "reads_issued_from_session_queue" Never "reads that left it behind a write";
        SessionQueuesDrained "session_queues_drained" Never "sessions whose requests all left it";
        TimeWaitingEmptyPool "time_waiting_empty_pool_in_commit_processor_read_ms" Never "that stage waiting for its threads";
        WriteBatchTime "write_batch_time_in_commit_processor" Never "that stage handling a batch of writes";
        ConcurrentRequestProcessing "concurrent_request_processing_in_commit_processor" Never "requests under way in that stage";
        ReadCommitProcReqQueued "read_commit_proc_req_queued" Never "reads waiting in that stage";
        WriteCommitProcReqQueued "write_commit_proc_req_queued" Never "writes waiting in that stage";
        CommitCommitProcReqQueued "commit_commit_proc_req_queued" Never "commits waiting in that stage";
        ReadCommitProcIssued "read_commit_proc_issued" Never "reads that left that stage at once";
        WriteCommitProcIssued "write_commit_proc_issued" Never "writes that left that stage at once";
        CommitProcessTime "commit_process_time" Later "a learner handling a commit";
        StartupTxnsLoaded "startup_txns_loaded" Counted "transactions replayed at start";
        StartupTxnsLoadTime "startup_txns_load_time" Later "replaying them";
        StartupSnapLoadTime "startup_snap_load_time" Later "loading the snapshot at start";
        SyncProcessorQueueSize "sync_processor_queue_size" Later "transactions waiting for the log";
        SyncProcessTime "sync_process_time" Later "the log taking a transaction";
        SyncProcessorBatchSize "sync_processor_batch_size" Counted "transactions in one force of the log";
        NettyQueuedBufferCapacity "netty_queued_buffer_capacity" Never "bytes waiting in the Netty network layer";
        LearnerRequestProcessorQueueSize "learner_request_processor_queue_size" Later "requests of learners waiting in a leader";
        SocketClosingTime "socket_closing_time" Later "closing a connection between servers";
    }
}

metrics! {
    /// A summary with percentiles. Times are milliseconds.
    Distribution {
        ReadLatency "readlatency" Counted "a read, from request to reply";
        UpdateLatency "updatelatency" Counted "a write, from request to reply";
        PropagationLatency "propagation_latency" Later "a write, from proposal to commit here";
        DeadWatchersCleanerLatency "dead_watchers_cleaner_latency" Never "a run of the cleaner of watches";
        PrepProcessorQueueTime "prep_processor_queue_time_ms" Later "a request waiting to be checked";
        CloseSessionPrepTime "close_session_prep_time" Later "preparing to close a session";
        ReadCommitprocTime "read_commitproc_time_ms" Never "a read in the Java server's commit stage";
        WriteCommitprocTime "write_commitproc_time_ms" Never "a write in that stage";
        LocalWriteCommittedTime "local_write_committed_time_ms" Never "a write of an own client waiting there to be applied";
        ServerWriteCommittedTime "server_write_committed_time_ms" Never "a write of another server's client waiting there";
        OmProposalProcessTime "om_proposal_process_time_ms" Later "a follower passing a proposal to its observers";
        OmCommitProcessTime "om_commit_process_time_ms" Later "a follower passing a commit to its observers";
        ReadFinalProcTime "read_final_proc_time_ms" Never "a read in the Java server's last stage";
        WriteFinalProcTime "write_final_proc_time_ms" Never "a write in that stage";
        ProposalLatency "proposal_latency" Later "a proposal on its way to a follower";
        ProposalAckCreationLatency "proposal_ack_creation_latency" Later "a proposal until its acknowledgement";
        CommitPropagationLatency "commit_propagation_latency" Later "a commit on its way to a follower";
        SyncProcessorQueueAndFlushTime "sync_processor_queue_and_flush_time_ms" Later "a transaction in the log, waiting included";
        SyncProcessorQueueTime "sync_processor_queue_time_ms" Later "a transaction waiting for the log";
        SyncProcessorQueueFlushTime "sync_processor_queue_flush_time_ms" Later "a force of the log, its replies included";
        QuorumAckLatency "quorum_ack_latency" Later "a proposal until a quorum has it";
        RequestThrottleQueueTime "request_throttle_queue_time_ms" Later "a request waiting for the throttle";
        JvmPauseTime "jvm_pause_time_ms" Never "pauses of the Java garbage collector";
    }
}

metrics! {
    /// A counter for each of many keys.
    KeyedCounter {
        QuotaExceededErrorPerNamespace "quota_exceeded_error_per_namespace" Counted "requests over a quota, by first path component";
    }
}

metrics! {
    /// A summary for each of many keys.
    KeyedSummary {
        WritePerNamespace "write_per_namespace" Counted "bytes written, by first path component";
        ReadPerNamespace "read_per_namespace" Counted "bytes read, by first path component";
        LearnerHandlerQpSize "learner_handler_qp_size" Later "packets waiting for a learner, by its number";
    }
}
