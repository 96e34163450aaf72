//! Checked text to the fields of a [`ServerConfig`], one function per part.

use std::path::{Path, PathBuf};

use super::{Value, Values};
use crate::config::{
    AdminConfig, AuthConfig, ConfigError, ConnectionConfig, ConnectionThrottleConfig, ContainerConfig,
    DigestAlgorithm, HostPort, Level, Origin, PurgeConfig, RequestConfig, RequestThrottleConfig,
    ServerConfig, SessionConfig, SnapshotCompression, StorageConfig,
};

impl Values {
    pub(super) fn server_config(
        &mut self,
        config_file: Option<PathBuf>,
    ) -> Result<ServerConfig, ConfigError> {
        Ok(ServerConfig {
            storage: self.storage(config_file.as_deref())?,
            session: self.session()?,
            connection: self.connection()?,
            request: self.request(),
            auth: self.auth()?,
            admin: AdminConfig { words_whitelist: self.text("4lw.commands.whitelist").map(str::to_owned) },
            config_file,
        })
    }

    fn storage(&mut self, config_file: Option<&Path>) -> Result<StorageConfig, ConfigError> {
        let data_dir = self.string("dataDir").map(PathBuf::from).ok_or_else(|| ConfigError::Missing {
            key: "dataDir",
            origin: config_file.map_or(Origin::CommandLine, |path| Origin::File(path.to_owned())),
            reason: "a configuration file must say where the data lies".to_owned(),
        })?;
        let data_log_dir = self.string("dataLogDir").map_or_else(|| data_dir.clone(), PathBuf::from);
        for (name, path) in [("dataDir", &data_dir), ("dataLogDir", &data_log_dir)] {
            if let Some(Value { text, origin: origin @ Origin::Line(..), .. }) = self.by_name.get(name)
                && path.is_relative()
                && !text.starts_with("./")
            {
                let text = format!("{name}={text} is relative to the directory the server is started in");
                self.say(Level::Warn, &origin.clone(), text);
            }
        }
        let compression = self.text("snapshot.compression.method").unwrap_or_default().to_ascii_lowercase();
        let mut factor = self.float("snapshotSizeFactor");
        if factor > 1.0 {
            let text = format!("snapshotSizeFactor={factor} counts as 0.33: it must not be above 1");
            self.say(Level::Warn, &self.origin("snapshotSizeFactor"), text);
            factor = 0.33;
        }
        Ok(StorageConfig {
            data_dir,
            data_log_dir,
            create_missing_dirs: self.flag("datadir.autocreate"),
            create_empty_db: self.flag("db.autocreate"),
            trust_empty_snapshot: self.flag("snapshot.trust.empty"),
            snap_count: self.at_least("snapCount", 2),
            snap_size_limit: self.kib_limit("snapSizeLimitInKb"),
            txn_log_size_limit: self.kib_limit("txnLogSizeLimitInKb"),
            prealloc_size: self.kib_limit("preAllocSize").unwrap_or(0),
            force_sync: self.flag("forceSync"),
            fsync_warning_threshold_ms: self.count_long("fsync.warningthresholdms"),
            flush_delay_ms: self.count_long("flushDelay"),
            flush_batch_max: self.count("maxBatchSize"),
            snapshot_compression: match compression.as_str() {
                "gz" => SnapshotCompression::Gzip,
                "snappy" => SnapshotCompression::Snappy,
                _ => SnapshotCompression::None,
            },
            digest_enabled: self.flag("digest.enabled"),
            serialize_last_zxid: self.flag("serializeLastProcessedZxid.enabled"),
            close_session_txn_paths: self.flag("closeSessionTxn.enabled"),
            purge: PurgeConfig {
                retain_count: self.at_least("autopurge.snapRetainCount", 3),
                interval_hours: self.count("autopurge.purgeInterval"),
            },
            commit_log_count: self.at_least("commitLogCount", 500),
            snapshot_size_factor: factor,
        })
    }

    fn session(&self) -> Result<SessionConfig, ConfigError> {
        let tick_time_ms = self.count("tickTime");
        let or_ticks = |name, ticks: u32| {
            let wanted = self.int(name);
            u32::try_from(wanted).unwrap_or_else(|_| tick_time_ms.saturating_mul(ticks).min(i32::MAX as u32))
        };
        let timeout_min_ms = or_ticks("minSessionTimeout", 2);
        let timeout_max_ms = or_ticks("maxSessionTimeout", 20);
        if timeout_min_ms > timeout_max_ms {
            let culprit = ["minSessionTimeout", "maxSessionTimeout"]
                .into_iter()
                .find(|name| self.by_name.contains_key(*name))
                .unwrap_or("tickTime");
            let problem = format!(
                "minSessionTimeout ({timeout_min_ms} ms) must not be larger than maxSessionTimeout \
                 ({timeout_max_ms} ms); unset they are 2 and 20 times tickTime ({tick_time_ms} ms)"
            );
            return Err(ConfigError::Conflict { origin: self.origin(culprit), problem });
        }
        Ok(SessionConfig { tick_time_ms, timeout_min_ms, timeout_max_ms })
    }

    fn connection(&mut self) -> Result<ConnectionConfig, ConfigError> {
        let client_address = self.address("clientPort", "clientPortAddress")?;
        // Only checked: there is no TLS yet, which was said already.
        self.address("secureClientPort", "secureClientPortAddress")?;
        Ok(ConnectionConfig {
            client_address,
            listen_backlog: Some(self.count("clientPortListenBacklog")).filter(|backlog| *backlog > 0),
            per_ip_max: self.count("maxClientCnxns"),
            total_max: self.count("maxCnxns"),
            sessionless_timeout_ms: self.count("nio.sessionlessCnxnTimeout"),
            worker_threads: self
                .int_if_set("nio.numWorkerThreads")
                .map(|threads| u32::try_from(threads).unwrap_or(1).max(1)),
            tcp_keep_alive: self.flag("clientTcpKeepAlive"),
            throttle: self.connection_throttle(),
        })
    }

    /// A port with the address that goes with it.
    fn address(&self, port: &'static str, host: &'static str) -> Result<Option<HostPort>, ConfigError> {
        let set_host = self.by_name.get(host);
        let Some(number) = self.int_if_set(port) else {
            return match set_host {
                Some(value) => Err(ConfigError::Missing {
                    key: port,
                    origin: value.origin.clone(),
                    reason: format!("{host}={} is, and an address needs its port", value.text),
                }),
                None => Ok(None),
            };
        };
        let host = self.string(host).unwrap_or_else(|| "0.0.0.0".to_owned());
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(&host).to_owned();
        Ok(Some(HostPort { host, port: u16::try_from(number).expect("the table limits ports") }))
    }

    fn connection_throttle(&mut self) -> ConnectionThrottleConfig {
        let weight_enabled = self.flag("connection_throttle_weight_enabled");
        let mut weight = |name: &'static str, default: u32| {
            let number = self.int(name);
            if number >= 1 {
                return u32::try_from(number).unwrap_or(u32::MAX);
            }
            let text = format!("{name}={number} counts as {default}: it must be at least 1");
            self.say(Level::Warn, &self.origin(name), text);
            default
        };
        let local = weight("connection_throttle_local_session_weight", 1);
        let global = weight("connection_throttle_global_session_weight", 3).max(local);
        let renew = weight("connection_throttle_renew_session_weight", 2).max(local);
        // Tokens are meant for new global sessions.
        let factor = if weight_enabled { global } else { 1 };
        ConnectionThrottleConfig {
            tokens: self.count("connection_throttle_tokens").saturating_mul(factor),
            fill_time_ms: self.count("connection_throttle_fill_time"),
            fill_count: self.count("connection_throttle_fill_count").saturating_mul(factor),
            freeze_time_ms: u32::try_from(self.int("connection_throttle_freeze_time")).ok(),
            drop_increase: self.float("connection_throttle_drop_increase"),
            drop_decrease: self.float("connection_throttle_drop_decrease"),
            decrease_ratio: self.float("connection_throttle_decrease_ratio"),
            weight_enabled,
            global_session_weight: global,
            local_session_weight: local,
            renew_session_weight: renew,
        }
    }

    fn request(&self) -> RequestConfig {
        let packet_size_max = self.count("jute.maxbuffer");
        RequestConfig {
            packet_size_max,
            record_extra_size: match self.int_if_set("jute.maxbuffer.extrasize") {
                Some(_) => self.count("jute.maxbuffer.extrasize"),
                None => packet_size_max,
            }
            .max(1024),
            outstanding_max: self.count("globalOutstandingLimit"),
            large_request_threshold: Some(self.count("largeRequestThreshold")).filter(|bytes| *bytes > 0),
            large_requests_bytes_max: self.count("largeRequestMaxBytes"),
            throttle: RequestThrottleConfig {
                requests_max: self.count("request_throttle_max_requests"),
                stall_time_ms: self.count("request_throttle_stall_time"),
                drop_stale: self.flag("request_throttle_drop_stale"),
                stale_connection_check: self.flag("request_stale_connection_check"),
                stale_latency_check: self.flag("request_stale_latency_check"),
                shutdown_timeout_ms: self.count("request_throttler.shutdownTimeout"),
            },
            throttled_op_wait_time_ms: self.count("throttled_op_wait_time"),
            response_cache_entries: self.count("maxResponseCacheSize"),
            children_cache_entries: self.count("maxGetChildrenResponseCacheSize"),
            enforce_quota: self.flag("enforceQuota"),
            extended_types_enabled: self.flag("extendedTypesEnabled"),
            emulate_353_ttl_nodes: self.flag("emulate353TTLNodes"),
            container: ContainerConfig {
                check_interval_ms: self.count("znode.container.checkIntervalMs"),
                per_minute_max: self.count("znode.container.maxPerMinute"),
                never_used_max_ms: self.count_long("znode.container.maxNeverUsedIntervalMs"),
            },
            reconfig_enabled: self.flag("reconfigEnabled"),
            read_only_mode_enabled: self.flag("readonlymode.enabled"),
        }
    }

    fn auth(&mut self) -> Result<AuthConfig, ConfigError> {
        let digest_enabled = self.flag("DigestAuthenticationProvider.enabled");
        let algorithm = self.text("DigestAuthenticationProvider.digestAlg").unwrap_or_default();
        let algorithm = algorithm.to_ascii_uppercase();
        Ok(AuthConfig {
            skip_acl: self.flag("skipACL"),
            eager_acl_check: self.flag("enableEagerACLCheck"),
            digest_enabled,
            super_digest: self.string("DigestAuthenticationProvider.superDigest"),
            digest_algorithm: match algorithm.as_str() {
                "MD5" => DigestAlgorithm::Md5,
                "SHA-224" => DigestAlgorithm::Sha224,
                "SHA-256" => DigestAlgorithm::Sha256,
                "SHA-384" => DigestAlgorithm::Sha384,
                "SHA-512" => DigestAlgorithm::Sha512,
                _ => DigestAlgorithm::Sha1,
            },
            enforced_schemes: self.enforced_schemes(digest_enabled)?,
            allow_sasl_failed_clients: self.flag("allowSaslFailedClients"),
            sasl_super_users: self
                .by_name
                .iter()
                .filter(|(name, _)| *name == "superUser" || name.starts_with("superUser."))
                .map(|(_, value)| value.text.clone())
                .collect(),
            ensemble_names: {
                let names = self.list("ensembleAuthName");
                self.has_provider(".EnsembleAuthenticationProvider").then_some(names)
            },
        })
    }

    /// Whether an `authProvider.N` names a class that ends like this.
    fn has_provider(&self, class: &str) -> bool {
        self.by_name
            .iter()
            .any(|(name, value)| name.starts_with("authProvider.") && value.text.ends_with(class))
    }

    /// Schemes a client must authenticate with, none when authentication is not enforced.
    fn enforced_schemes(&mut self, digest_enabled: bool) -> Result<Vec<String>, ConfigError> {
        let (name, schemes) = if self.flag("sessionRequireClientSASLAuth") {
            // The other two keys do not count then.
            ("sessionRequireClientSASLAuth", vec!["sasl".to_owned()])
        } else if self.flag("enforce.auth.enabled") {
            ("enforce.auth.schemes", self.list("enforce.auth.schemes"))
        } else {
            self.list("enforce.auth.schemes");
            return Ok(Vec::new());
        };
        if schemes.is_empty() {
            return Err(ConfigError::Missing {
                key: "enforce.auth.schemes",
                origin: self.origin("enforce.auth.enabled"),
                reason: "enforce.auth.enabled=true needs to know which schemes count".to_owned(),
            });
        }
        for scheme in &schemes {
            let known = match scheme.as_str() {
                "ip" => true,
                "digest" => digest_enabled,
                "sasl" => self.has_provider(".SASLAuthenticationProvider"),
                "x509" => self.has_provider(".X509AuthenticationProvider"),
                _ => false,
            };
            if !known {
                return Err(ConfigError::Conflict {
                    origin: self.origin(name),
                    problem: format!(
                        "{name} demands the scheme `{scheme}`, which no provider serves: possible are ip, digest \
                         (unless switched off), and sasl and x509 with their authProvider.N"
                    ),
                });
            }
        }
        if !schemes.iter().any(|scheme| scheme == "ip" || scheme == "digest") {
            let text = format!(
                "{name} demands the scheme {}, which Quoll has not yet: no client will be able to do anything",
                schemes.join(" or ")
            );
            self.say(Level::Warn, &self.origin(name), text);
        }
        Ok(schemes)
    }
}
