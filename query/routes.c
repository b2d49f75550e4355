#include "query/routes.h"

#include "query/diff.h"
#include "query/heatmap.h"
#include "query/labels_query.h"
#include "query/merge.h"
#include "query/pprof_out.h"
#include "query/far.h"
#include "query/render.h"
#include "query/series.h"
#include "query/settings.h"

#include <front.pb-c.h>
#include <querier.pb-c.h>
#include <types.pb-c.h>

#define QUERIER  "/querier.v1.QuerierService/"
#define SETTINGS "/settings.v1.SettingsService/"
#define VCS      "/vcs.v1.VCSService/"

static const struct pw_rpc rpcs[] = {
    {QUERIER "ProfileTypes", "*querierv1.ProfileTypesRequest",
     &querier__v1__profile_types_request__descriptor, pw_profile_types},
    {QUERIER "LabelNames", "*typesv1.LabelNamesRequest",
     &types__v1__label_names_request__descriptor, pw_label_names},
    {QUERIER "LabelValues", "*typesv1.LabelValuesRequest",
     &types__v1__label_values_request__descriptor, pw_label_values},
    {QUERIER "Series", "*querierv1.SeriesRequest", &querier__v1__series_request__descriptor,
     pw_series_labels},
    {QUERIER "SelectMergeStacktraces", "*querierv1.SelectMergeStacktracesRequest",
     &querier__v1__select_merge_stacktraces_request__descriptor, pw_stacktraces},
    {QUERIER "SelectMergeSpanProfile", "*querierv1.SelectMergeSpanProfileRequest",
     &querier__v1__select_merge_span_profile_request__descriptor, pw_span_profile},
    {QUERIER "SelectMergeProfile", "*querierv1.SelectMergeProfileRequest",
     &querier__v1__select_merge_profile_request__descriptor, pw_merge_profile},
    {QUERIER "SelectSeries", "*querierv1.SelectSeriesRequest",
     &querier__v1__select_series_request__descriptor, pw_select_series},
    {QUERIER "SelectHeatmap", "*querierv1.SelectHeatmapRequest",
     &querier__v1__select_heatmap_request__descriptor, pw_heatmap},
    {QUERIER "Diff", "*querierv1.DiffRequest", &querier__v1__diff_request__descriptor, pw_diff},
    {QUERIER "GetProfileStats", "*typesv1.GetProfileStatsRequest",
     &types__v1__get_profile_stats_request__descriptor, pw_misc_profile_stats},
    {QUERIER "AnalyzeQuery", "*querierv1.AnalyzeQueryRequest",
     &querier__v1__analyze_query_request__descriptor, pw_misc_analyze_query},
    {SETTINGS "Get", "*settingsv1.GetSettingsRequest", &front__v1__empty__descriptor,
     pw_settings_get},
    {SETTINGS "Set", "*settingsv1.SetSettingsRequest", &front__v1__set_settings_request__descriptor,
     pw_settings_set},
    {SETTINGS "Delete", "*settingsv1.DeleteSettingsRequest",
     &front__v1__delete_settings_request__descriptor, pw_settings_delete},
    {PW_PEER_ROUTE, "", NULL, pw_far_serve},
    {"/ingester.v1.IngesterService/Flush", "*ingesterv1.FlushRequest",
     &front__v1__empty__descriptor, pw_misc_flush},
    {"/version.v1.Version/Version", "*versionv1.VersionRequest", &front__v1__empty__descriptor,
     pw_misc_version},
    {"/capabilities.v1.FeatureFlagsService/GetFeatureFlags",
     "*capabilitiesv1.GetFeatureFlagsRequest", &front__v1__empty__descriptor,
     pw_misc_feature_flags},
    {VCS "GithubApp", "", NULL, pw_misc_github_app},
    {VCS "GithubLogin", "", NULL, pw_misc_vcs},
    {VCS "GithubRefresh", "", NULL, pw_misc_vcs},
    {VCS "GetFile", "", NULL, pw_misc_vcs},
    {VCS "GetCommit", "", NULL, pw_misc_vcs},
    {VCS "GetCommits", "", NULL, pw_misc_vcs},
};

static const struct pw_get gets[] = {
    {"/", false, pw_page_index},
    {"/explore", false, pw_page_index},
    {"/comparison", false, pw_page_index},
    {"/comparison-diff", false, pw_page_index},
    {"/ui", false, pw_page_redirect},
    {"/assets/app.js", false, pw_page_script},
    {"/assets/app.css", false, pw_page_style},
    {"/assets/icon.svg", false, pw_page_icon},
    {"/favicon.ico", false, pw_page_icon},
    {"/pyroscope/render", true, pw_render},
    {"/pyroscope/render-diff", true, pw_render_diff},
    {"/pyroscope/label-values", true, pw_render_label_values},
    {"/api/v1/status/buildinfo", false, pw_misc_buildinfo},
};

const struct pw_rpc *
pw_routes_rpc(struct pw_slice path)
{
    for (size_t i = 0; i < PW_ARRAY_LEN(rpcs); i++) {
        if (pw_slice_eq_str(path, rpcs[i].path)) {
            return &rpcs[i];
        }
    }
    return NULL;
}

const struct pw_get *
pw_routes_get(struct pw_slice path)
{
    for (size_t i = 0; i < PW_ARRAY_LEN(gets); i++) {
        if (pw_slice_eq_str(path, gets[i].path)) {
            return &gets[i];
        }
    }
    return NULL;
}
