/* app/config.h - what the operator asked for: built-in defaults, then YAML, then flags.
 *
 * Purpose  struct pw_config, its parser, and its printed forms (-help, /config, app/options.md).
 * Owner    the control thread; nothing changes it after start. pw_config_fini frees the rules.
 *          limits.relabel is NULL here: rules are compiled by app/runtime_config.
 * Context  cold.
 * Units    in the names; durations in ms.
 * Errors   every text names the option, the value and the bounds.
 * Limits   PW_CONFIG_FILE_BYTES_MAX, PW_CONFIG_TEXT_BYTES, PW_CONFIG_ITEMS_MAX.
 */
#ifndef PW_APP_CONFIG_H
#define PW_APP_CONFIG_H

#include "base/err.h"
#include "base/text.h"
#include "base/types.h"
#include "distributor/limits.h"

enum {
    PW_CONFIG_TEXT_BYTES = 256, /* one string option with its NUL */
    PW_CONFIG_ITEMS_MAX = 32,   /* of a list option */
    PW_CONFIG_FILE_BYTES_MAX = 4 << 20,
};

struct pw_relabel_list; /* app/relabel_list.h */

struct pw_config_list {
    uint32_t count;
    char item[PW_CONFIG_ITEMS_MAX][PW_CONFIG_TEXT_BYTES];
};

enum pw_config_wal_sync { PW_CONFIG_WAL_SYNC_GROUP, PW_CONFIG_WAL_SYNC_NONE };
enum pw_config_idle { PW_CONFIG_IDLE_BACKOFF, PW_CONFIG_IDLE_SPIN };

/* What pw_config_parse_cold found to do. */
enum pw_config_action {
    PW_CONFIG_ACTION_RUN,
    PW_CONFIG_ACTION_PRINT, /* -help, -version ...: write `out` to stdout and exit 0 */
};

/* The ring of appliances and this process in it. */
struct pw_config_ring {
    uint32_t store, distributor_store; /* memberlist */
    char prefix[PW_CONFIG_TEXT_BYTES]; /* of the keys */

    /* Readers of the ring. */
    int64_t heartbeat_timeout_ms;
    uint32_t replication_factor;
    int64_t push_timeout_ms;
    bool zone_awareness;
    struct pw_config_list excluded_zones;

    /* This ingester. */
    uint32_t num_tokens;
    int64_t heartbeat_period_ms, lifecycler_timeout_ms, join_after_ms, observe_period_ms;
    int64_t min_ready_ms, final_sleep_ms;
    char tokens_file[PW_CONFIG_TEXT_BYTES]; /* "" none */
    char zone[PW_CONFIG_TEXT_BYTES];
    bool unregister, check_health;
    char addr[PW_CONFIG_TEXT_BYTES]; /* "" to be found */
    uint32_t port;                   /* 0: HTTP */
    char id[PW_CONFIG_TEXT_BYTES];   /* "" host name */

    /* This distributor, in a ring of its own. */
    int64_t distributor_period_ms, distributor_timeout_ms;
    char distributor_addr[PW_CONFIG_TEXT_BYTES];
    char distributor_id[PW_CONFIG_TEXT_BYTES];
    uint32_t distributor_port;
};

/* The gossip among members (ring/memberlist.h, app/gossip.h). */
struct pw_config_memberlist {
    struct pw_config_list join;
    struct pw_config_list bind_addr;
    uint32_t bind_port;
    char advertise_addr[PW_CONFIG_TEXT_BYTES]; /* "" to be found */
    uint32_t advertise_port;
    char node_name[PW_CONFIG_TEXT_BYTES]; /* "" host name */
    bool randomize_node_name;
    char cluster_label[PW_CONFIG_TEXT_BYTES];
    bool label_unchecked;
    bool compression;
    uint32_t compression_algorithm; /* enum pw_memberlist_compression less 1 */

    int64_t gossip_interval_ms, pull_push_interval_ms, gossip_to_dead_ms, dead_reclaim_ms;
    uint32_t gossip_nodes, retransmit_factor;
    int64_t left_timeout_ms, obsolete_timeout_ms;
    int64_t leave_timeout_ms, broadcast_timeout_ms;
    bool abort_if_fast_join_fails, abort_if_join_fails;
    uint32_t fast_join_min_nodes;
    uint32_t max_join_retries; /* 0: without end */
    struct pw_config_list rejoin_seeds;
    int64_t min_join_backoff_ms, max_join_backoff_ms, rejoin_interval_ms;
    int64_t stream_timeout_ms, packet_dial_timeout_ms, packet_write_timeout_ms;
    uint32_t max_concurrent_writes;
    int64_t acquire_writer_timeout_ms;
    bool transport_debug;
    uint32_t history_bytes;
    bool tls;
    char tls_cert_path[PW_CONFIG_TEXT_BYTES], tls_key_path[PW_CONFIG_TEXT_BYTES];
    char tls_ca_path[PW_CONFIG_TEXT_BYTES];     /* "" what the host trusts */
    char tls_server_name[PW_CONFIG_TEXT_BYTES]; /* "" the address dialed */
    bool tls_insecure_skip_verify;
    char tls_cipher_suites[PW_CONFIG_TEXT_BYTES], tls_min_version[PW_CONFIG_TEXT_BYTES];

    /* Options of stock that do nothing here; see options.def. */
    struct {
        int64_t notify_interval_ms;
        uint32_t received_queue, processed_queue, watch_buffer;
        bool zone_aware;
        char zone[PW_CONFIG_TEXT_BYTES];
        uint32_t zone_role;
        bool tracker;
        int64_t beacon_interval_ms, beacon_lifetime_ms, beacon_log_ms;
    } unused;
};

struct pw_config {
    enum pw_config_action action;

    struct pw_config_list target;
    char config_file[PW_CONFIG_TEXT_BYTES];
    bool multitenancy_enabled;
    struct pw_config_list runtime_config_file;
    int64_t runtime_config_period_ms;
    int64_t shutdown_delay_ms;
    uint32_t log_level; /* enum pw_log_level */
    uint32_t log_format;

    char http_listen_address[PW_CONFIG_TEXT_BYTES];
    uint32_t http_listen_port; /* of the listener and of the NIC */
    int64_t graceful_shutdown_timeout_ms;

    char nic_device[PW_CONFIG_TEXT_BYTES];   /* "" or a PCI address */
    char nic_netdev[PW_CONFIG_TEXT_BYTES];   /* "" or an interface */
    char nic_address[PW_CONFIG_TEXT_BYTES];  /* "" or a CIDR that pw_config_cidr reads */
    char nic_gateway[PW_CONFIG_TEXT_BYTES];  /* "" or an address */
    char nic_address6[PW_CONFIG_TEXT_BYTES]; /* the same of IPv6 */
    char nic_gateway6[PW_CONFIG_TEXT_BYTES];
    uint32_t nic_queues;
    uint32_t nic_hugepages; /* enum pw_eal_huge */
    bool nic_xdp_generic;
    bool nic_own_address; /* forced to true with nic.device */

    uint32_t dataplane_idle; /* enum pw_config_idle */
    uint32_t dataplane_workers;
    uint32_t dataplane_connections_max;
    uint32_t dataplane_connections_per_address;
    uint64_t dataplane_rx_buffer_bytes;
    uint32_t ingester_cores;
    uint64_t ingester_head_max_bytes;      /* all cores together */
    uint64_t ingester_head_prefault_bytes; /* of each head */
    char data_path[PW_CONFIG_TEXT_BYTES];
    char ingester_wal_dir[PW_CONFIG_TEXT_BYTES]; /* "": wal in data_path */
    uint32_t ingester_wal_sync;                  /* enum pw_config_wal_sync */
    uint64_t ingester_wal_segment_bytes, ingester_wal_buffer_bytes, ingester_wal_realtime_priority;
    bool retention_disable;
    int64_t retention_period_ms, retention_min_age_ms;
    uint64_t retention_min_free_gb;
    double retention_min_free_share;

    uint32_t storage_backend; /* enum pw_objstore_backend */
    char storage_prefix[PW_CONFIG_TEXT_BYTES];
    char storage_filesystem_dir[PW_CONFIG_TEXT_BYTES];
    char storage_s3_endpoint[PW_CONFIG_TEXT_BYTES];
    char storage_s3_bucket[PW_CONFIG_TEXT_BYTES];
    char storage_s3_region[PW_CONFIG_TEXT_BYTES];
    char storage_s3_access_key_id[PW_CONFIG_TEXT_BYTES];
    char storage_s3_secret_access_key[PW_CONFIG_TEXT_BYTES];
    char storage_s3_ca_path[PW_CONFIG_TEXT_BYTES];
    uint32_t storage_s3_lookup; /* enum pw_s3_lookup */
    bool storage_s3_insecure;
    int64_t bucket_sync_interval_ms;
    uint64_t bucket_cache_bytes;

    int64_t max_block_duration_ms;
    uint64_t row_group_target_size;
    uint32_t query_threads;

    struct pw_config_ring ring;

    uint32_t link_port;                     /* UDP */
    char link_device[PW_CONFIG_TEXT_BYTES]; /* as the fields of nic_, of a port of its own; */
    char link_netdev[PW_CONFIG_TEXT_BYTES]; /* both "": the NIC's */
    char link_address[PW_CONFIG_TEXT_BYTES];
    char link_gateway[PW_CONFIG_TEXT_BYTES];
    char link_address6[PW_CONFIG_TEXT_BYTES];
    char link_gateway6[PW_CONFIG_TEXT_BYTES];
    char link_secret_file[PW_CONFIG_TEXT_BYTES]; /* "" and not insecure: no links */
    bool link_insecure;
    int64_t link_silence_ms;
    uint64_t link_rx_buffer_bytes; /* of each door */
    struct pw_config_memberlist memberlist;

    struct pw_limits limits;               /* the defaults of every tenant */
    struct pw_relabel_list *relabel_rules; /* NULL: none */
    uint32_t relabel_position;             /* enum pw_relabel_position */

    /* Options of stock that only take their default here; see options.def. */
    struct {
        uint32_t push_max_concurrency;
        int64_t aggregation_window_ms;
        int64_t aggregation_period_ms;
        int64_t artificial_delay_ms;
        bool keep_stripped_profiles;
    } stock;
};

/* The defaults of options.def alone. */
void pw_config_defaults(struct pw_config *cfg);

void pw_config_fini(struct pw_config *cfg);

/* Defaults, then the YAML of -config.file, then flags; checks what belongs together. argv[0] is the
 * program. 0: look at cfg->action. PW_EINVAL (or the errno of reading the file) with a text for
 * stderr, without a final newline, in err. pw_config_fini is due in every case. */
PW_MUST_USE int pw_config_parse_cold(struct pw_config *cfg, int argc, const char *const *argv,
                                     struct pw_text *out, struct pw_text *err);

enum pw_config_view {
    PW_CONFIG_VIEW_ALL,
    PW_CONFIG_VIEW_DIFF, /* what differs from the defaults */
};

/* YAML of cfg, 4-space indent, as stock's /api/v1/status/config. */
void pw_config_write_yaml(const struct pw_config *cfg, enum pw_config_view view, struct pw_text *t);
/* "no address given" is false, not an error: both are for the caller to judge. */
bool pw_config_has_nic(const struct pw_config *cfg);
/* A second port, for links to other appliances alone. */
bool pw_config_has_link_port(const struct pw_config *cfg);
/* Whether -target has that module in it: distributor, ingester or querier. */
bool pw_config_runs(const struct pw_config *cfg, const char *module);

/* Whether the options of ports and listener go together; sets nic_own_address where there is no choice, and the address
 * for "localhost" (part of parse). */
PW_MUST_USE int pw_config_check_ports(struct pw_config *cfg, struct pw_text *err);

struct pw_config_addr {
    uint8_t family;      /* 4 or 6 */
    uint8_t prefix_bits; /* 32 or 128 when the text has no /n */
    uint8_t addr[16];    /* network byte order */
};

/* "10.0.0.5/24", "10.0.0.5", "fd00::5/64". 0 or PW_EINVAL. */
PW_MUST_USE int pw_config_cidr(const char *text, struct pw_config_addr *a);

#endif
