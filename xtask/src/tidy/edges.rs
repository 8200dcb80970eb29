//! The direction of the crates. The table below is the allowed graph; an edge that is not in it
//! fails unless only tests use it, and so does DataFusion below a crate that must stay light, its
//! tests included: these two rules keep the log, the broker and the connectors quick to build and
//! test.

use super::Finding;
use crate::metadata::{Graph, Package};

/// From each crate, what it may depend on. Everything may depend on `yeoul-base`.
const ALLOWED: [(&str, &[&str]); 15] = [
    ("yeoul-base", &[]),
    ("yeoul-agg", &[]),
    ("yeoul-format", &[]),
    ("yeoul-log", &[]),
    ("yeoul-kafka-wire", &[]),
    ("yeoul-web", &[]),
    ("yeoul-kafka", &["yeoul-kafka-wire", "yeoul-log"]),
    ("yeoul-connect", &["yeoul-log", "yeoul-kafka-wire", "yeoul-format"]),
    ("yeoul-pipeline", &["yeoul-connect", "yeoul-format"]),
    ("yeoul-table", &["yeoul-agg", "yeoul-log"]),
    ("yeoul-sql", &["yeoul-table", "yeoul-format", "yeoul-agg", "yeoul-log"]),
    ("yeoul-stream", &["yeoul-sql", "yeoul-table", "yeoul-agg", "yeoul-log", "yeoul-format"]),
    (
        "yeoul-druid",
        &["yeoul-sql", "yeoul-stream", "yeoul-format", "yeoul-agg", "yeoul-table", "yeoul-base"],
    ),
    ("broker-load", &["yeoul-kafka-wire", "yeoul-log"]),
    ("xtask", &[]),
];

/// The binary wires everything together and may see all.
const SHELL: &str = "yeoul";
const GROUND: &str = "yeoul-base";
/// Crates that may carry DataFusion.
const HEAVY: [&str; 4] = ["yeoul-sql", "yeoul-stream", "yeoul-druid", SHELL];

pub(super) fn check(graph: &Graph) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (id, package) in graph.members() {
        findings.extend(forbidden_edges(graph, id, package));
        if !HEAVY.contains(&package.name.as_str()) {
            findings.extend(heavy_below(graph, id, package));
        }
    }
    findings
}

fn forbidden_edges(graph: &Graph, id: &str, package: &Package) -> Vec<Finding> {
    if package.name == SHELL {
        return Vec::new();
    }
    let manifest = manifest(package);
    let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == package.name) else {
        let what = format!(
            "crate {} is not in the table of allowed edges: add it to xtask/src/tidy/edges.rs with what it may see, and to ARCHITECTURE.md",
            package.name
        );
        return vec![Finding::new(&manifest, 0, what)];
    };
    let ours = graph.direct(id).filter(|below| below.source.is_none());
    let wrong = ours.filter(|below| {
        let to_ground = below.name == GROUND && package.name != "xtask";
        !to_ground && !allowed.contains(&below.name.as_str())
    });
    wrong
        .map(|below| {
            let what = format!(
                "{} must not depend on {}: put what it needs into a crate below both, or hand it in as a trait from the binary",
                package.name, below.name
            );
            Finding::new(&manifest, 0, what)
        })
        .collect()
}

fn heavy_below(graph: &Graph, id: &str, package: &Package) -> Option<Finding> {
    let reached = graph.below(id, true);
    let heavy = reached.keys().find(|below| {
        let found = graph.packages.get(*below);
        found.is_some_and(|p| p.name.starts_with("datafusion"))
    })?;
    let what = format!(
        "{} carries DataFusion ({}): only {} may",
        package.name,
        graph.way(&reached, heavy),
        HEAVY.join(", ")
    );
    Some(Finding::new(&manifest(package), 0, what))
}

fn manifest(package: &Package) -> String {
    let parts: Vec<&str> = package.manifest.rsplit('/').take(3).collect();
    let mut parts = parts;
    parts.reverse();
    if parts.first() == Some(&"crates") {
        return parts.join("/");
    }
    parts.split_off(parts.len().min(1)).join("/")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A graph of our crates `edges` and their packages, as cargo would print it.
    fn graph(edges: &[(&str, &str)]) -> Graph {
        let mut names: Vec<&str> = edges.iter().flat_map(|(a, b)| [*a, *b]).collect();
        names.sort_unstable();
        names.dedup();
        let ours = |name: &str| name.starts_with("yeoul");
        let package = |name: &&str| {
            let source = (!ours(name)).then_some("registry+crates.io");
            json!({"id": name, "name": name, "version": "1", "source": source,
                "manifest_path": format!("/x/crates/{name}/Cargo.toml")})
        };
        let node = |name: &&str| {
            let below = edges.iter().filter(|(from, _)| from == name);
            let deps = below.map(|(_, to)| json!({"pkg": to, "dep_kinds": [{"kind": null}]}));
            json!({"id": name, "deps": deps.collect::<Vec<_>>()})
        };
        Graph::from_json(&json!({
            "packages": names.iter().map(package).collect::<Vec<_>>(),
            "resolve": {"nodes": names.iter().map(node).collect::<Vec<_>>()},
            "workspace_members": names.iter().filter(|n| ours(n)).collect::<Vec<_>>(),
        }))
    }

    #[test]
    fn an_edge_upward_is_refused_and_the_allowed_ones_are_not() {
        let good = [
            ("yeoul", "yeoul-stream"),
            ("yeoul-stream", "yeoul-sql"),
            ("yeoul-sql", "yeoul-base"),
            ("yeoul-sql", "datafusion"),
        ];
        assert!(check(&graph(&good)).is_empty());
        let findings = check(&graph(&[("yeoul-log", "yeoul-format")]));
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].file, "crates/yeoul-log/Cargo.toml");
        assert_eq!(check(&graph(&[("yeoul-new", "yeoul-base")])).len(), 1);
    }

    #[test]
    fn datafusion_below_a_light_crate_is_found_through_others() {
        let edges = [("yeoul-web", "helper"), ("helper", "datafusion-common")];
        let findings = check(&graph(&edges));
        assert_eq!(findings.len(), 1);
        let way = "yeoul-web → helper → datafusion-common";
        assert!(findings[0].what.contains(way), "{}", findings[0].what);
    }

    /// The table itself must have no circle: a crate's allowed edges go only downward.
    #[test]
    fn allowed_edges_have_no_circle() {
        let below = |name: &str| {
            let found = ALLOWED.iter().find(|(n, _)| *n == name);
            found.map_or(&[][..], |(_, edges)| *edges)
        };
        for (start, edges) in ALLOWED {
            let mut open: Vec<&str> = edges.to_vec();
            let mut seen = Vec::new();
            while let Some(at) = open.pop() {
                assert_ne!(at, start, "{start} reaches itself");
                if !seen.contains(&at) {
                    seen.push(at);
                    open.extend(below(at));
                }
            }
        }
    }
}
