//! Lines of Prometheus' text format: components, partitions, groups, the log, Kafka's listener
//! and the process. Counters never fall while the process lives; units are in the names.

use std::fmt::Write;

use yeoul_web::dto::FlowNode;

use super::Node;

/// The unit of processor times in /proc/PID/stat; what Linux shows to programs is always this.
const TICKS_PER_SECOND: f64 = 100.0;

/// One line's labels and value.
type Sample = (String, f64);

/// Families of samples, one after the other.
struct Page<'o>(&'o mut String);

impl Page<'_> {
    fn family(&mut self, name: &str, kind: &str, help: &str, samples: Vec<Sample>) {
        if samples.is_empty() {
            return;
        }
        // Writing into a string does not fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            let _ = if labels.is_empty() {
                writeln!(self.0, "{name} {value}")
            } else {
                writeln!(self.0, "{name}{{{labels}}} {value}")
            };
        }
    }

    fn counter(&mut self, name: &str, help: &str, samples: Vec<Sample>) {
        self.family(name, "counter", help, samples);
    }

    fn gauge(&mut self, name: &str, help: &str, samples: Vec<Sample>) {
        self.family(name, "gauge", help, samples);
    }
}

/// A sample without labels.
fn one(value: u64) -> Vec<Sample> {
    vec![(String::new(), value as f64)]
}

/// A label; names of groups are anybody's.
fn label(name: &str, value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("{name}=\"{value}\"")
}

pub(super) fn write(node: &Node, out: &mut String) {
    let mut page = Page(out);
    components(&mut page, node);
    partitions(&mut page, node);
    groups(&mut page, node);
    log(&mut page, node);
    kafka(&mut page, node);
    process(&mut page, node.started_ms);
}

fn components(page: &mut Page<'_>, node: &Node) {
    let flow = node.flow();
    let each = |value: fn(&FlowNode) -> u64| -> Vec<Sample> {
        let nodes = flow.nodes.iter();
        nodes.map(|node| (label("component", &node.id), value(node) as f64)).collect()
    };
    let help = "Records read by a component, or appended to a topic";
    page.counter("yeoul_records_in_total", help, each(|node| node.in_total));
    let help = "Rows given out by a component";
    page.counter("yeoul_records_out_total", help, each(|node| node.out_total));
    let help = "Records that became dead letters";
    page.counter("yeoul_records_dead_total", help, each(|node| node.dead_total));
    let help = "Records that wait in a component's input";
    page.gauge("yeoul_lag_records", help, each(|node| node.lag));
    page.gauge("yeoul_bytes", "Bytes held", each(|node| node.bytes));
    let lost = node.readers.lost();
    let lost = lost.iter().map(|(name, count)| (label("component", name), *count as f64));
    let help = "Records removed before the component read them";
    page.counter("yeoul_records_lost_total", help, lost.collect());
}

fn partitions(page: &mut Page<'_>, node: &Node) {
    let topics = node.store.topics();
    let held = node.log.held_bytes();
    let mut of: [Vec<Sample>; 5] = Default::default();
    let [start, stable, end, bytes, kept] = &mut of;
    for topic in topics.by_name.values() {
        for (number, part) in topic.partitions.iter().enumerate() {
            let labels = format!("{},partition=\"{number}\"", label("topic", &topic.name));
            let ends = node.store.ends(*part).unwrap_or_default();
            start.push((labels.clone(), ends.start as f64));
            stable.push((labels.clone(), ends.stable as f64));
            end.push((labels.clone(), ends.high as f64));
            bytes.push((labels.clone(), ends.bytes as f64));
            if let Some(held) = held.get(part) {
                kept.push((labels, *held as f64));
            }
        }
    }
    let [start, stable, end, bytes, kept] = of;
    page.gauge("yeoul_partition_start_offset", "First offset that can be read", start);
    let help = "Every record below it is durable and decided";
    page.gauge("yeoul_partition_stable_offset", help, stable);
    page.gauge("yeoul_partition_end_offset", "Every record below it is durable", end);
    page.gauge("yeoul_partition_bytes", "Bytes of log segments", bytes);
    let help = "Bytes that retention would drop but for a component that has to read them";
    page.gauge("yeoul_partition_held_bytes", help, kept);
}

fn groups(page: &mut Page<'_>, node: &Node) {
    let Some((_, groups)) = node.kafka.get() else { return };
    let (mut lag, mut members) = (Vec::new(), Vec::new());
    for group in groups.list() {
        let name = label("group", &group.name);
        members.push((name.clone(), group.members.len() as f64));
        for at in &group.offsets {
            let place = format!("{},partition=\"{}\"", label("topic", &at.topic), at.partition);
            lag.push((format!("{name},{place}"), at.lag as f64));
        }
    }
    page.gauge("yeoul_group_members", "Members of a consumer group", members);
    let help = "Records between a group's committed offset and the last stable offset";
    page.gauge("yeoul_group_lag_records", help, lag);
}

fn log(page: &mut Page<'_>, node: &Node) {
    let stats = node.log.stats();
    page.counter("yeoul_commits_total", "Commits made durable", one(stats.commits));
    let help = "Groups of commits, each written and synced once";
    page.counter("yeoul_groups_total", help, one(stats.groups));
    let help = "Bytes written to the commit log";
    page.counter("yeoul_commit_log_written_bytes_total", help, one(stats.written_bytes));
    let quantile = |q: &str, us: u64| (label("quantile", q), us as f64 / 1e6);
    let syncs = vec![quantile("0.5", stats.sync_p50_us), quantile("0.99", stats.sync_p99_us)];
    page.gauge("yeoul_sync_seconds", "How long the last 1024 syncs took", syncs);
    page.gauge("yeoul_wal_bytes", "Bytes of all slots of the commit log", one(stats.wal_bytes));
    let help = "Bytes in memory that wait for their partition's file";
    page.gauge("yeoul_unsplit_bytes", help, one(stats.unsplit_bytes as u64));
    page.gauge("yeoul_incarnation", "Starts of this data directory", one(stats.incarnation));
    if let Ok(free) = node.disk.free_bytes() {
        page.gauge("yeoul_disk_free_bytes", "Free on the data directory's disk", one(free));
    }
    if let Ok(total) = node.disk.total_bytes() {
        page.gauge("yeoul_disk_total_bytes", "Size of the data directory's disk", one(total));
    }
}

fn kafka(page: &mut Page<'_>, node: &Node) {
    let Some((metrics, _)) = node.kafka.get() else { return };
    let counts = metrics.counts();
    let help = "Open Kafka connections";
    page.gauge("yeoul_kafka_connections", help, one(counts.connections));
    let help = "Kafka connections taken";
    page.counter("yeoul_kafka_connections_accepted_total", help, one(counts.accepted));
    let help = "Kafka connections closed at once because too many were open";
    page.counter("yeoul_kafka_connections_refused_total", help, one(counts.refused));
    let help = "Kafka connections closed because what they sent is not Kafka's protocol";
    page.counter("yeoul_kafka_garbage_total", help, one(counts.garbage));
    page.counter("yeoul_kafka_requests_total", "Kafka requests", one(counts.requests));
    let help = "Bytes of Kafka requests";
    page.counter("yeoul_kafka_received_bytes_total", help, one(counts.bytes_in));
    let help = "Bytes of Kafka answers";
    page.counter("yeoul_kafka_sent_bytes_total", help, one(counts.bytes_out));
    let help = "Records in produce requests that were taken";
    page.counter("yeoul_kafka_records_in_total", help, one(counts.records_in));
}

/// Under the names that every Prometheus client library uses.
fn process(page: &mut Page<'_>, started_ms: i64) {
    let start = vec![(String::new(), started_ms as f64 / 1e3)];
    let help = "When the node was opened, in seconds since 1970";
    page.gauge("process_start_time_seconds", help, start);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = resident.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    if let Some(kib) = kib {
        let help = "Resident memory";
        page.gauge("process_resident_memory_bytes", help, one(kib * 1024));
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        page.gauge("process_open_fds", "Open file descriptors", one(open.count() as u64));
    }
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name before it is in parentheses and may hold blanks.
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    let seconds = vec![(String::new(), ticks as f64 / TICKS_PER_SECOND)];
    page.counter("process_cpu_seconds_total", "Processor time, user and system", seconds);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_and_empty_families_left_out() {
        let mut out = String::new();
        let mut page = Page(&mut out);
        page.gauge("a", "nothing", Vec::new());
        page.gauge("b_bytes", "Something", vec![(label("group", "x\"\\\n"), 2.0)]);
        page.counter("c_total", "Alone", one(3));
        assert_eq!(
            out,
            "# HELP b_bytes Something\n# TYPE b_bytes gauge\nb_bytes{group=\"x\\\"\\\\\\n\"} 2\n\
             # HELP c_total Alone\n# TYPE c_total counter\nc_total 3\n"
        );
    }

    #[test]
    fn the_process_knows_itself() {
        let mut out = String::new();
        process(&mut Page(&mut out), 1_500);
        for name in [
            "process_start_time_seconds 1.5",
            "process_resident_memory_bytes ",
            "process_open_fds ",
        ] {
            assert!(out.contains(&format!("\n{name}")), "{name} in {out}");
        }
    }
}
