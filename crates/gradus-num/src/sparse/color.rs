//! Greedy colourings: columns of one colour share a pass.
//!
//! See Gebremedhin, Manne and Pothen, "What Color Is Your Jacobian?", SIAM Review 47 (2005), for the
//! definitions, and Gebremedhin, Tarafdar, Manne and Pothen, SIAM J. Sci. Comput. 29 (2007), for star and
//! acyclic colourings.

use std::collections::HashMap;
use std::vec::Vec;

use super::Pattern;

/// A colour for each vertex: `colors[v] < count`, or [`NONE`] for a vertex that needs none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coloring {
    /// The colour of each vertex.
    pub colors: Vec<u32>,
    /// The number of colours.
    pub count: usize,
}

/// The colour of a vertex that no pass needs: an empty column or row.
pub const NONE: u32 = u32::MAX;

/// Which colours the vertex at hand may not have, without clearing between vertices.
struct Forbidden {
    by: Vec<usize>,
    stamp: usize,
}

impl Forbidden {
    fn new() -> Self {
        Forbidden { by: Vec::new(), stamp: 0 }
    }

    fn next_vertex(&mut self) {
        self.stamp += 1;
    }

    fn insert(&mut self, color: u32) {
        let color = color as usize;
        if color >= self.by.len() {
            self.by.resize(color + 1, 0);
        }
        self.by[color] = self.stamp;
    }

    fn contains(&self, color: u32) -> bool {
        self.by.get(color as usize) == Some(&self.stamp)
    }

    fn smallest_free(&self) -> u32 {
        (0..).find(|&color| !self.contains(color)).unwrap_or(NONE)
    }
}

fn count(colors: &[u32]) -> usize {
    colors.iter().filter(|&&c| c != NONE).max().map_or(0, |&most| most as usize + 1)
}

/// The vertices in the two orders worth trying: as they come (banded matrices), and by falling degree.
fn orders(degree: &[usize]) -> [Vec<usize>; 2] {
    let natural: Vec<usize> = (0..degree.len()).collect();
    let mut falling = natural.clone();
    falling.sort_by_key(|&v| core::cmp::Reverse(degree[v]));
    [natural, falling]
}

/// Colours columns so that no two columns of one colour have an entry in the same row (distance 2 in the
/// bipartite graph): each entry of the matrix is then read off one compressed column.
pub fn color_columns(pattern: &Pattern) -> Coloring {
    let transposed = pattern.transpose();
    let degree: Vec<usize> = (0..pattern.cols()).map(|j| transposed.row(j).len()).collect();
    orders(&degree)
        .into_iter()
        .map(|order| {
            let mut colors = vec![NONE; pattern.cols()];
            let mut forbidden = Forbidden::new();
            for j in order.into_iter().filter(|&j| degree[j] > 0) {
                forbidden.next_vertex();
                for &i in transposed.row(j) {
                    for &k in pattern.row(i as usize) {
                        if colors[k as usize] != NONE {
                            forbidden.insert(colors[k as usize]);
                        }
                    }
                }
                colors[j] = forbidden.smallest_free();
            }
            Coloring { count: count(&colors), colors }
        })
        .min_by_key(|coloring| coloring.count)
        .unwrap_or(Coloring { colors: Vec::new(), count: 0 })
}

/// Colours rows so that no two rows of one colour have an entry in the same column.
pub fn color_rows(pattern: &Pattern) -> Coloring {
    color_columns(&pattern.transpose())
}

/// The neighbours of each vertex in the graph of a symmetric pattern: the off-diagonal entries of its row.
pub(super) fn neighbours(pattern: &Pattern, v: usize) -> impl Iterator<Item = usize> + '_ {
    pattern.row(v).iter().map(|&w| w as usize).filter(move |&w| w != v)
}

fn symmetric_degrees(pattern: &Pattern) -> Vec<usize> {
    assert_eq!(pattern.rows(), pattern.cols(), "a symmetric pattern is square");
    (0..pattern.rows()).map(|v| neighbours(pattern, v).count()).collect()
}

/// Star colouring of a symmetric pattern: neighbours differ, and every path of four vertices has at least
/// three colours. Each entry of the matrix is then read directly off one compressed column.
pub fn color_star(pattern: &Pattern) -> Coloring {
    let degree = symmetric_degrees(pattern);
    orders(&degree)
        .into_iter()
        .map(|order| star_in_order(pattern, &order))
        .min_by_key(|coloring| coloring.count)
        .unwrap_or(Coloring { colors: Vec::new(), count: 0 })
}

fn star_in_order(pattern: &Pattern, order: &[usize]) -> Coloring {
    let mut colors = vec![NONE; pattern.rows()];
    let mut forbidden = Forbidden::new();
    for &v in order.iter().filter(|&&v| !pattern.row(v).is_empty()) {
        forbidden.next_vertex();
        for w in neighbours(pattern, v) {
            if colors[w] != NONE {
                forbidden.insert(colors[w]);
            }
            for x in neighbours(pattern, w).filter(|&x| x != v) {
                if colors[x] == NONE || forbidden.contains(colors[x]) {
                    continue;
                }
                // While w has no colour, its neighbours must differ, so that it can be the middle of no
                // two-coloured path; once it has one, v-w-x-y must not alternate.
                let ends_a_path =
                    || neighbours(pattern, x).any(|y| y != w && colors[y] != NONE && colors[y] == colors[w]);
                if colors[w] == NONE || ends_a_path() {
                    forbidden.insert(colors[x]);
                }
            }
        }
        colors[v] = forbidden.smallest_free();
    }
    Coloring { count: count(&colors), colors }
}

/// Acyclic colouring of a symmetric pattern: neighbours differ, and every cycle has at least three colours.
/// The entries are then recovered by substitution along two-coloured trees; it needs no more colours
/// than a star colouring, and often fewer.
pub fn color_acyclic(pattern: &Pattern) -> Coloring {
    let degree = symmetric_degrees(pattern);
    orders(&degree)
        .into_iter()
        .map(|order| acyclic_in_order(pattern, &order))
        .min_by_key(|coloring| coloring.count)
        .unwrap_or(Coloring { colors: Vec::new(), count: 0 })
}

fn acyclic_in_order(pattern: &Pattern, order: &[usize]) -> Coloring {
    let edge = |v: usize, w: usize| pattern.position(v.min(w), v.max(w)).unwrap_or(usize::MAX);
    let mut trees = Trees::new(pattern.nonzeros());
    let mut colors = vec![NONE; pattern.rows()];
    let mut forbidden = Forbidden::new();
    // The two-coloured trees that the vertex at hand touches, and through which neighbour.
    let mut touched: HashMap<usize, usize> = HashMap::new();
    for &v in order.iter().filter(|&&v| !pattern.row(v).is_empty()) {
        forbidden.next_vertex();
        touched.clear();
        for w in neighbours(pattern, v).filter(|&w| colors[w] != NONE) {
            forbidden.insert(colors[w]);
        }
        for w in neighbours(pattern, v).filter(|&w| colors[w] != NONE) {
            for x in neighbours(pattern, w) {
                if x == v || colors[x] == NONE || forbidden.contains(colors[x]) {
                    continue;
                }
                // Two neighbours of v in one tree: with the colour of x, v would close a cycle.
                if *touched.entry(trees.find(edge(w, x))).or_insert(w) != w {
                    forbidden.insert(colors[x]);
                }
            }
        }
        colors[v] = forbidden.smallest_free();
        let mut of_color: HashMap<u32, usize> = HashMap::new();
        for w in neighbours(pattern, v).filter(|&w| colors[w] != NONE) {
            let twin = *of_color.entry(colors[w]).or_insert(w);
            trees.join(edge(v, w), edge(v, twin));
            for x in neighbours(pattern, w).filter(|&x| x != v && colors[x] == colors[v]) {
                trees.join(edge(v, w), edge(w, x));
            }
        }
    }
    Coloring { count: count(&colors), colors }
}

/// Sets of edges that form one two-coloured tree (union and find).
struct Trees {
    parent: Vec<usize>,
}

impl Trees {
    fn new(edges: usize) -> Self {
        Trees { parent: (0..edges).collect() }
    }

    fn find(&mut self, edge: usize) -> usize {
        let mut root = edge;
        while self.parent[root] != root {
            self.parent[root] = self.parent[self.parent[root]];
            root = self.parent[root];
        }
        root
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.find(a), self.find(b));
        self.parent[a] = b;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symmetric(n: usize, edges: &[(usize, usize)]) -> Pattern {
        let mut rows: Vec<Vec<u32>> = (0..n).map(|v| vec![v as u32]).collect();
        for &(v, w) in edges {
            rows[v].push(w as u32);
            rows[w].push(v as u32);
        }
        Pattern::from_rows(n, rows)
    }

    /// A reproducible random graph.
    fn random(n: usize, edges: usize, mut seed: u64) -> Pattern {
        let mut next = || {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 33) as usize % n
        };
        let pairs: Vec<_> = (0..edges).map(|_| (next(), next())).filter(|(v, w)| v != w).collect();
        symmetric(n, &pairs)
    }

    fn grid(side: usize) -> Pattern {
        let mut edges = Vec::new();
        for i in 0..side {
            for j in 0..side {
                if i + 1 < side {
                    edges.push((i * side + j, (i + 1) * side + j));
                }
                if j + 1 < side {
                    edges.push((i * side + j, i * side + j + 1));
                }
            }
        }
        symmetric(side * side, &edges)
    }

    fn proper(p: &Pattern, c: &Coloring) -> bool {
        (0..p.rows()).all(|v| neighbours(p, v).all(|w| c.colors[v] != c.colors[w]))
    }

    fn is_star(p: &Pattern, c: &Coloring) -> bool {
        let c = &c.colors;
        (0..p.rows()).all(|a| {
            neighbours(p, a).all(|b| {
                neighbours(p, b).filter(|&x| x != a).all(|x| {
                    neighbours(p, x).filter(|&y| y != b && y != a).all(|y| !(c[a] == c[x] && c[b] == c[y]))
                })
            })
        })
    }

    fn is_acyclic(p: &Pattern, c: &Coloring) -> bool {
        // Each pair of colours must induce a forest: no edge joins two vertices already connected.
        for first in 0..c.count as u32 {
            for second in 0..first {
                let mut sets = Trees::new(p.rows());
                for v in (0..p.rows()).filter(|&v| c.colors[v] == first) {
                    for w in neighbours(p, v).filter(|&w| c.colors[w] == second) {
                        if sets.find(v) == sets.find(w) {
                            return false;
                        }
                        sets.join(v, w);
                    }
                }
            }
        }
        true
    }

    #[test]
    fn symmetric_colourings_keep_their_definitions() {
        let mut samples: Vec<Pattern> = (0..40).map(|s| random(30, 20 + 3 * s, s as u64)).collect();
        samples.push(grid(12));
        for p in &samples {
            let (star, acyclic) = (color_star(p), color_acyclic(p));
            assert!(proper(p, &star) && is_star(p, &star));
            assert!(proper(p, &acyclic) && is_acyclic(p, &acyclic));
        }
    }

    #[test]
    fn known_colour_counts() {
        // An arrow: distance-2 needs n colours, star and acyclic two.
        let arrow = symmetric(20, &(1..20).map(|v| (0, v)).collect::<Vec<_>>());
        assert_eq!(color_columns(&arrow).count, 20);
        assert_eq!((color_star(&arrow).count, color_acyclic(&arrow).count), (2, 2));
        // A tridiagonal matrix: three columns, three colours; a path has an acyclic 2-colouring.
        let path = symmetric(50, &(1..50).map(|v| (v - 1, v)).collect::<Vec<_>>());
        assert_eq!(color_columns(&path).count, 3);
        assert_eq!((color_star(&path).count, color_acyclic(&path).count), (3, 2));
    }

    #[test]
    fn columns_of_one_colour_never_meet_in_a_row() {
        let p = random(60, 150, 7);
        let c = color_columns(&p);
        for i in 0..p.rows() {
            let mut seen: Vec<u32> = p.row(i).iter().map(|&j| c.colors[j as usize]).collect();
            seen.sort_unstable();
            assert!(seen.windows(2).all(|w| w[0] != w[1]));
        }
        let empty_column = Pattern::from_rows(3, [vec![0, 2]]);
        assert_eq!(color_columns(&empty_column).colors, [0, NONE, 1]);
    }
}
