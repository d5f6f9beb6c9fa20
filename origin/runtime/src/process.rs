//! The `process_*` metrics that Prometheus client libraries export by convention.

use prometheus_client::registry::Registry;

/// Registers the metrics of this process, where the operating system has them in `/proc`.
pub(crate) fn register(registry: &mut Registry) {
    #[cfg(target_os = "linux")]
    registry.register_collector(Box::new(linux::ProcessCollector::new()));
    #[cfg(not(target_os = "linux"))]
    let _ = registry;
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fmt;

    use procfs::process::{LimitValue, Process, Stat};
    use prometheus_client::collector::Collector;
    use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeMetric as _};
    use prometheus_client::metrics::MetricType;
    use prometheus_client::metrics::counter::ConstCounter;
    use prometheus_client::metrics::gauge::ConstGauge;
    use prometheus_client::registry::Unit;

    /// Reads `/proc/self` at each scrape.
    #[derive(Debug)]
    pub(super) struct ProcessCollector {
        /// In seconds since the Unix epoch.
        start_time: Option<f64>,
    }

    /// What one scrape reads; a field that cannot be read is left out of the page.
    struct Usage {
        stat: Stat,
        open_fds: Option<u64>,
        max_fds: Option<u64>,
    }

    impl ProcessCollector {
        pub(super) fn new() -> Self {
            Self { start_time: start_time() }
        }
    }

    fn start_time() -> Option<f64> {
        let started = Process::myself().ok()?.stat().ok()?.starttime;
        Some(procfs::boot_time_secs().ok()? as f64 + seconds(started))
    }

    fn seconds(ticks: u64) -> f64 {
        ticks as f64 / procfs::ticks_per_second() as f64
    }

    fn usage() -> Option<Usage> {
        let process = Process::myself().ok()?;
        let stat = process.stat().ok()?;
        let open_fds = process.fd_count().ok().map(|count| count as u64);
        let max_fds = match process.limits().ok()?.max_open_files.soft_limit {
            LimitValue::Value(limit) => Some(limit),
            LimitValue::Unlimited => None,
        };
        Some(Usage { stat, open_fds, max_fds })
    }

    impl Collector for ProcessCollector {
        fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
            let Some(Usage { stat, open_fds, max_fds }) = usage() else { return Ok(()) };
            let (name, help) = ("process_cpu", "User and system CPU time spent.");
            let cpu = ConstCounter::new(seconds(stat.utime.saturating_add(stat.stime)));
            cpu.encode(encoder.encode_descriptor(
                name,
                help,
                Some(&Unit::Seconds),
                MetricType::Counter,
            )?)?;
            let mut bytes =
                |name, help, value| gauge(&mut encoder, name, help, Some(&Unit::Bytes), value);
            let resident = stat.rss.saturating_mul(procfs::page_size());
            bytes("process_resident_memory", "Resident memory size.", Some(resident))?;
            bytes("process_virtual_memory", "Virtual memory size.", Some(stat.vsize))?;
            let (name, help) = ("process_start_time", "Start time since the Unix epoch.");
            gauge(&mut encoder, name, help, Some(&Unit::Seconds), self.start_time)?;
            let mut count = |name, help, value| gauge(&mut encoder, name, help, None, value);
            count("process_open_fds", "Open file descriptors.", open_fds)?;
            count("process_max_fds", "Limit of open file descriptors.", max_fds)?;
            count("process_threads", "Threads.", u64::try_from(stat.num_threads).ok())
        }
    }

    fn gauge<N: EncodeGaugeValue>(
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        value: Option<N>,
    ) -> fmt::Result {
        let Some(value) = value else { return Ok(()) };
        let encoder = encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
        ConstGauge::new(value).encode(encoder)
    }
}
