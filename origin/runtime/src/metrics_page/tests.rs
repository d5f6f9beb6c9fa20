use axum::http::HeaderValue;
use axum::http::header::ACCEPT;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Unit;

use super::*;

fn page() -> MetricsPage {
    MetricsPage::new("shop", "1.2.3", |registry| {
        let sales = Family::<[(&str, &str); 1], Counter>::default();
        sales.get_or_create(&[("goods", "# apples _created")]).inc();
        registry.register("sales", "Goods sold", sales);
        let sent = Counter::<u64>::default();
        registry.register_with_unit("sent", "Bytes sent", Unit::Bytes, sent);
        registry.register("customers", "Customers in the shop", Gauge::<i64>::default());
        let wait = Histogram::new([0.5, 1.0]);
        wait.observe(0.7);
        registry.register_with_unit("wait", "Time in the queue", Unit::Seconds, wait);
    })
}

fn negotiated(accept: &[&'static str]) -> Format {
    let lines = accept.iter().map(|line| (ACCEPT, HeaderValue::from_static(line)));
    accept::negotiate(&HeaderMap::from_iter(lines))
}

/// The lines about the shop; those about the process differ in each run.
fn shop(format: Format) -> Vec<String> {
    let page = page().render(format).unwrap();
    let own = page.lines().filter(|line| line.contains("shop_") && !line.contains("shop_build"));
    own.map(str::to_owned).collect()
}

#[test]
fn the_text_format_names_counters_with_their_suffix_and_has_no_units() {
    let expected = [
        "# HELP shop_sales_total Goods sold.",
        "# TYPE shop_sales_total counter",
        "shop_sales_total{goods=\"# apples _created\"} 1",
        "# HELP shop_sent_bytes_total Bytes sent.",
        "# TYPE shop_sent_bytes_total counter",
        "shop_sent_bytes_total 0",
        "# HELP shop_customers Customers in the shop.",
        "# TYPE shop_customers gauge",
        "shop_customers 0",
        "# HELP shop_wait_seconds Time in the queue.",
        "# TYPE shop_wait_seconds histogram",
        "shop_wait_seconds_sum 0.7",
        "shop_wait_seconds_count 1",
        "shop_wait_seconds_bucket{le=\"0.5\"} 0",
        "shop_wait_seconds_bucket{le=\"1.0\"} 1",
        "shop_wait_seconds_bucket{le=\"+Inf\"} 1",
    ];
    assert_eq!(shop(Format::Text), expected);
    assert!(!page().render(Format::Text).unwrap().contains("# EOF"));
}

#[test]
fn open_metrics_keeps_families_units_and_the_end() {
    let lines = shop(Format::OpenMetrics);
    for line in ["# TYPE shop_sales counter", "# UNIT shop_sent_bytes bytes"] {
        assert!(lines.iter().any(|found| found == line), "{line}: {lines:?}");
    }
    assert!(page().render(Format::OpenMetrics).unwrap().ends_with("# EOF\n"));
}

#[test]
fn creation_times_are_left_out_and_unknown_types_are_untyped() {
    let open_metrics = "# HELP jobs Jobs done\n# TYPE jobs counter\njobs_total 3\n\
        jobs_created 1700000000.5\n# HELP odd Something\n# TYPE odd unknown\nodd 1\n# EOF\n";
    let text = "# HELP jobs_total Jobs done\n# TYPE jobs_total counter\njobs_total 3\n\
        # HELP odd Something\n# TYPE odd untyped\nodd 1\n";
    assert_eq!(text::from_open_metrics(open_metrics), text);
}

#[test]
fn build_info_is_an_info_and_in_text_a_gauge() {
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    let sample = format!("\nshop_build_info{{version=\"1.2.3\",os=\"{os}\",arch=\"{arch}\"}} 1\n");
    let open_metrics = page().render(Format::OpenMetrics).unwrap();
    assert!(open_metrics.contains(&format!("# TYPE shop_build info{sample}")), "{open_metrics}");
    let text = page().render(Format::Text).unwrap();
    assert!(text.contains(&format!("# TYPE shop_build_info gauge{sample}")), "{text}");
}

#[cfg(target_os = "linux")]
#[test]
fn the_process_is_measured() {
    let text = page().render(Format::Text).unwrap();
    for (name, least) in [
        ("process_cpu_seconds_total", 0.0),
        ("process_resident_memory_bytes", 100_000.0),
        ("process_virtual_memory_bytes", 100_000.0),
        ("process_start_time_seconds", 1_600_000_000.0),
        ("process_open_fds", 3.0),
        ("process_max_fds", 3.0),
        ("process_threads", 1.0),
    ] {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value: f64 = value.unwrap_or_else(|| panic!("{name}:\n{text}")).parse().unwrap();
        assert!(value >= least, "{name} {value}");
    }
}

#[test]
fn a_scraper_that_lists_open_metrics_gets_it() {
    for accept in [
        "application/openmetrics-text",
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
        // Prometheus 2 and 3.
        "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
         text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
         application/openmetrics-text;version=0.0.1;q=0.4,\
         text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
    ] {
        assert_eq!(negotiated(&[accept]), Format::OpenMetrics, "{accept}");
    }
    assert_eq!(
        negotiated(&["text/plain;q=0.3", "application/openmetrics-text"]),
        Format::OpenMetrics
    );
}

#[test]
fn any_other_scraper_gets_text() {
    for accept in [
        "*/*",
        "text/plain",
        "text/html,application/xhtml+xml,*/*;q=0.8",
        "text/plain;version=0.0.4,application/openmetrics-text;version=1.0.0;q=0.5",
        "text/plain,application/openmetrics-text",
        "application/openmetrics-text;version=0.0.1,text/plain;version=0.0.4;q=0.5",
        "application/openmetrics-text;q=0",
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
        ",;,=",
    ] {
        assert_eq!(negotiated(&[accept]), Format::Text, "{accept}");
    }
    assert_eq!(negotiated(&[]), Format::Text);
}

#[test]
fn the_content_type_names_the_format() {
    let content_type = |headers: &HeaderMap| {
        let response = page().respond(headers);
        response.headers()[CONTENT_TYPE].to_str().unwrap().to_owned()
    };
    let text = content_type(&HeaderMap::new());
    assert_eq!(text, "text/plain; version=0.0.4; charset=utf-8");
    let accept = HeaderValue::from_static("application/openmetrics-text");
    let open_metrics = content_type(&HeaderMap::from_iter([(ACCEPT, accept)]));
    assert_eq!(open_metrics, "application/openmetrics-text; version=1.0.0; charset=utf-8");
}
