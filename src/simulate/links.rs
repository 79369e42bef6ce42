//! How long a message takes: regions of the world, lines to homes, a random mesh, and splits of it.

use super::random::Random;
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

/// One-way milliseconds between regions, about half of what pings between large cities show: North America, Europe,
/// East Asia, South America, Oceania.
const REGIONS: [[f64; 5]; 5] = [
    [20.0, 45.0, 80.0, 70.0, 85.0],
    [45.0, 12.0, 110.0, 100.0, 135.0],
    [80.0, 110.0, 25.0, 145.0, 65.0],
    [70.0, 100.0, 145.0, 20.0, 150.0],
    [85.0, 135.0, 65.0, 150.0, 15.0],
];
/// In which part of the cases a node is in each region.
const POPULATION: [f64; 5] = [0.35, 0.30, 0.25, 0.05, 0.05];
/// Milliseconds of a line to a home, at the median.
const ACCESS_MS: f64 = 12.0;
/// Milliseconds that a node takes to check and pass on a message.
const RELAY_MS: f64 = 1.0;
/// Peers that a node has in the mesh, on average: what gossipsub aims at, and the protocol's bandwidth assumes.
pub const MESH_DEGREE: usize = 8;
/// Spread of the delay of a single message about its usual one.
const JITTER: f64 = 0.25;

/// The mesh, and how long messages take in it.
#[derive(Clone, Debug)]
pub struct Links {
    nodes: usize,
    /// Peers of each node.
    peers: Vec<Vec<usize>>,
    /// Seconds of the direct way between any two.
    direct: Vec<f64>,
    /// Seconds by the fastest way through the mesh.
    relayed: Vec<f64>,
}

impl Links {
    /// A random mesh, scaled so that the median way from node to node takes `median_ms`.
    pub fn new(nodes: usize, median_ms: f64, random: &mut Random) -> Self {
        let mut peers = vec![Vec::new(); nodes];
        for (a, b) in mesh(&(0..nodes).collect::<Vec<_>>(), random) {
            peers[a].push(b);
            peers[b].push(a);
        }
        let mut links = Self { nodes, peers, direct: direct_delays(nodes, random), relayed: Vec::new() };
        links.relayed = links.fastest_ways();
        let mut ways: Vec<f64> = links.between_two().collect();
        ways.sort_by(f64::total_cmp);
        let median = ways.get(ways.len() / 2).copied().unwrap_or(1.0);
        let scale = median_ms / 1_000.0 / median;
        links.direct.iter_mut().chain(&mut links.relayed).for_each(|delay| *delay *= scale);
        links
    }

    /// The peers of a node in the mesh.
    pub fn peers(&self, node: usize) -> &[usize] {
        &self.peers[node]
    }

    /// Seconds of one message to a peer.
    pub fn hop(&self, from: usize, to: usize, random: &mut Random) -> f64 {
        self.direct[from * self.nodes + to] * random.jitter(JITTER)
    }

    /// Seconds of one message through the mesh.
    pub fn way(&self, from: usize, to: usize, random: &mut Random) -> f64 {
        self.relayed[from * self.nodes + to] * random.jitter(JITTER)
    }

    fn between_two(&self) -> impl Iterator<Item = f64> {
        let pairs = (0..self.nodes).flat_map(|a| (0..self.nodes).map(move |b| (a, b)));
        pairs.filter(|(a, b)| a != b).map(|(a, b)| self.relayed[a * self.nodes + b])
    }

    /// Dijkstra from every node.
    fn fastest_ways(&self) -> Vec<f64> {
        (0..self.nodes).flat_map(|from| self.fastest_from(from)).collect()
    }

    fn fastest_from(&self, from: usize) -> Vec<f64> {
        let mut best = vec![f64::INFINITY; self.nodes];
        best[from] = 0.0;
        // Nanoseconds, since floats have no order of their own.
        let mut open = BinaryHeap::from([(Reverse(0_u64), from)]);
        while let Some((Reverse(nanos), at)) = open.pop() {
            if nanos > (best[at] * 1e9) as u64 {
                continue;
            }
            for &peer in &self.peers[at] {
                let way = best[at] + self.direct[at * self.nodes + peer];
                if way < best[peer] {
                    best[peer] = way;
                    open.push((Reverse((way * 1e9) as u64), peer));
                }
            }
        }
        best
    }
}

/// Pairs of these nodes: a ring in random order, so that all hang together, and random pairs until the degree is right.
/// The lower node of each pair comes first.
pub fn mesh(nodes: &[usize], random: &mut Random) -> BTreeSet<(usize, usize)> {
    let count = nodes.len();
    let mut order = nodes.to_vec();
    random.shuffle(&mut order);
    let ring = (0..count).map(|place| (order[place], order[(place + 1) % count]));
    let mut pairs: BTreeSet<_> = ring.filter(|(a, b)| a != b).map(|(a, b)| (a.min(b), a.max(b))).collect();
    let enough = (count * MESH_DEGREE / 2).min(count * count.saturating_sub(1) / 2);
    while pairs.len() < enough {
        let (a, b) = (nodes[random.below(count)], nodes[random.below(count)]);
        if a != b {
            pairs.insert((a.min(b), a.max(b)));
        }
    }
    pairs
}

fn direct_delays(nodes: usize, random: &mut Random) -> Vec<f64> {
    let homes: Vec<(usize, f64)> =
        (0..nodes).map(|_| (region(random), ACCESS_MS * random.jitter(0.6))).collect();
    let delay = |(a, line_a): (usize, f64), (b, line_b): (usize, f64)| {
        (REGIONS[a][b] + line_a + line_b + RELAY_MS) / 1_000.0
    };
    homes.iter().flat_map(|a| homes.iter().map(move |b| delay(*a, *b))).collect()
}

fn region(random: &mut Random) -> usize {
    let mut left = random.fraction();
    let found = POPULATION.iter().position(|part| {
        left -= part;
        left <= 0.0
    });
    found.unwrap_or(0)
}

/// The nodes of a group with about this part of the hash rate, for a split.
pub fn group(parts: &[f64], fraction: f64, random: &mut Random) -> Vec<bool> {
    let mut order: Vec<usize> = (0..parts.len()).collect();
    random.shuffle(&mut order);
    // The large ones first, so that what is left to fill can be filled.
    order.sort_by(|a, b| parts[*b].total_cmp(&parts[*a]));
    let mut inside = vec![false; parts.len()];
    let mut left = fraction;
    for node in order {
        if parts[node] <= left {
            inside[node] = true;
            left -= parts[node];
        }
    }
    inside
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_way_is_as_asked_and_the_mesh_hangs_together() {
        for nodes in [2, 3, 10, 60] {
            let links = Links::new(nodes, 150.0, &mut Random::new(7, "links"));
            let mut ways: Vec<f64> = links.between_two().collect();
            ways.sort_by(f64::total_cmp);
            assert!((ways[ways.len() / 2] - 0.15).abs() < 1e-6, "{nodes}");
            assert!(ways.iter().all(|way| way.is_finite()), "{nodes}");
            let degree = (0..nodes).map(|node| links.peers(node).len()).sum::<usize>();
            assert_eq!(degree, (nodes * MESH_DEGREE).min(nodes * (nodes - 1)) / 2 * 2);
        }
    }

    #[test]
    fn jitter_leaves_the_median() {
        let links = Links::new(5, 150.0, &mut Random::new(7, "links"));
        let mut random = Random::new(7, "jitter");
        let usual = links.relayed[1];
        let above = (0..10_000).filter(|_| links.way(0, 1, &mut random) > usual).count();
        assert!((4_800..5_200).contains(&above), "{above}");
    }

    #[test]
    fn a_group_has_the_part_that_was_asked_for() {
        let parts: Vec<f64> = super::super::hashes::power_law(50, 1.0, 1.0).collect();
        for fraction in [0.1, 0.35, 0.5] {
            let inside = group(&parts, fraction, &mut Random::new(1, "group"));
            let sum: f64 =
                parts.iter().zip(&inside).filter(|(_, inside)| **inside).map(|(part, _)| part).sum();
            assert!((sum - fraction).abs() < 0.01, "{fraction}: {sum}");
        }
    }
}
