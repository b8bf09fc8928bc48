//! The beam of one sentence: hypotheses that go on, and sequences that are finished.
use super::order::Order;

/// A hypothesis continued by a symbol.
pub struct Candidate {
    /// Its place among those that go on.
    pub hypothesis: usize,
    pub id: i64,
    /// log p of the symbol alone.
    pub logarithm: f64,
}

/// One written symbol, and how it came about.
struct Node {
    before: Option<usize>,
    id: i64,
    /// The row of the step that predicted it.
    row: usize,
}

struct Live {
    node: Option<usize>,
    logarithm: f64,
}

pub struct Found {
    node: usize,
    pub logarithm: f64,
    pub score: f64,
}

pub struct Sentence {
    most: usize,
    prefix: Vec<i64>,
    nodes: Vec<Node>,
    /// The best first.
    live: Vec<Live>,
    /// The best first, no more than are wanted.
    finished: Vec<Found>,
}

impl Sentence {
    pub fn new(order: &Order, b: usize) -> Self {
        // Sequences drawn by chance are each other's business from the start; a beam begins as one hypothesis.
        let beginnings = if order.sampling.is_some() { order.beam } else { 1 };
        Self {
            most: order.lengths[b],
            prefix: order.prefix[b].clone(),
            nodes: Vec::new(),
            live: (0..beginnings).map(|_| Live { node: None, logarithm: 0.0 }).collect(),
            finished: Vec::new(),
        }
    }

    /// Hypotheses that go on.
    pub fn width(&self) -> usize {
        self.live.len()
    }

    pub fn is_done(&self) -> bool {
        self.live.is_empty()
    }

    /// The symbol that has to be written at a step.
    pub fn forced(&self, step: usize) -> Option<i64> {
        self.prefix.get(step).copied()
    }

    /// Keeps the likeliest continuations, of equal ones that of the better hypothesis and then of the lower symbol. Returns, in their order, which
    /// hypothesis each one that goes on continues and with which symbol.
    pub fn extend(&mut self, mut candidates: Vec<Candidate>, order: &Order, length: usize, first_row: usize) -> Vec<(usize, i64)> {
        for candidate in &mut candidates {
            candidate.logarithm += self.live[candidate.hypothesis].logarithm;
        }
        if order.sampling.is_none() {
            candidates.sort_unstable_by(|a, b| b.logarithm.total_cmp(&a.logarithm).then((a.hypothesis, a.id).cmp(&(b.hypothesis, b.id))));
            candidates.truncate(order.beam);
        }
        let before = std::mem::take(&mut self.live);
        let mut goes_on = Vec::with_capacity(candidates.len());
        for Candidate { hypothesis, id, logarithm } in candidates {
            let node = self.nodes.len();
            self.nodes.push(Node { before: before[hypothesis].node, id, row: first_row + hypothesis });
            if id == order.end || length == self.most {
                self.finish(Found { node, logarithm, score: order.score(logarithm, length) }, order.wanted);
            } else {
                self.live.push(Live { node: Some(node), logarithm });
                goes_on.push((hypothesis, id));
            }
        }
        if order.sampling.is_none() && !self.can_improve(order, length) {
            self.live.clear();
            goes_on.clear();
        }
        goes_on
    }

    fn finish(&mut self, found: Found, wanted: usize) {
        let place = self.finished.partition_point(|other| other.score >= found.score);
        if place < wanted {
            self.finished.truncate(wanted - 1);
            self.finished.insert(place, found);
        }
    }

    /// Whether any continuation could still be among the wanted. Log probabilities only fall, and of all lengths to come the one that divides the
    /// most is the longest; so nothing is missed.
    fn can_improve(&self, order: &Order, length: usize) -> bool {
        let (Some(best), Some(worst)) = (self.live.first(), self.finished.get(order.wanted - 1)) else {
            return !self.live.is_empty();
        };
        let divides = if order.alpha > 0.0 { self.most } else { length };
        order.score(best.logarithm, divides) > worst.score
    }

    /// The best first.
    pub fn found(&self) -> &[Found] {
        &self.finished
    }

    /// The symbols of a sequence from the first on, each with the row of the step that predicted it.
    pub fn path(&self, found: &Found) -> Vec<(i64, usize)> {
        let mut path = Vec::new();
        let mut at = Some(found.node);
        while let Some(Node { before, id, row }) = at.map(|node| &self.nodes[node]) {
            path.push((*id, *row));
            at = *before;
        }
        path.reverse();
        path
    }
}
