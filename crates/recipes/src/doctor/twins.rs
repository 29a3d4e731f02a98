//! The same picture more than once, in groups.
//!
//! Above: `doctor`. Below: `taper_data::likeness`. Not here: telling that two are the same (`taper_data::likeness`).

use std::collections::{BTreeMap, HashMap};

use taper_data::likeness::{Print, near_duplicates};

use super::findings::Copies;
use super::gather::{Gathered, Subject};

/// Pictures that are the same, by their indices.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Group {
    /// In their order.
    pub(crate) members: Vec<usize>,
    mirrored: bool,
    likeness: f64,
}

/// All pictures that are there more than once.
pub(crate) fn groups(gathered: &Gathered) -> Vec<Group> {
    let subjects = &gathered.subjects;
    let mut union = Union::new(subjects.len());
    // Equal files, whatever they show; also what shows nothing.
    let mut first_of: HashMap<&str, usize> = HashMap::new();
    for (index, subject) in subjects.iter().enumerate() {
        let first = *first_of.entry(&subject.file.sha256).or_insert(index);
        union.join(first, index);
    }
    let prints: Vec<Print> = subjects.iter().map(|subject| subject.print.clone()).collect();
    let twins = near_duplicates(&prints);
    twins.iter().for_each(|twins| union.join(twins.first, twins.second));
    let mut groups: BTreeMap<usize, Group> = BTreeMap::new();
    for index in 0..subjects.len() {
        let plain = || Group { members: Vec::new(), mirrored: false, likeness: 1.0 };
        groups.entry(union.root(index)).or_insert_with(plain).members.push(index);
    }
    for twins in &twins {
        if let Some(group) = groups.get_mut(&union.root(twins.first)) {
            group.mirrored |= twins.is_mirrored;
            group.likeness = group.likeness.min(twins.likeness);
        }
    }
    groups.into_values().filter(|group| group.members.len() > 1).collect()
}

/// What is told of a group: the picture to keep first. That is one to validate on, so that the measure stays one of the same pictures,
/// and of several the largest.
pub(crate) fn told(group: &Group, subjects: &[Subject]) -> Copies {
    let mut members: Vec<&Subject> =
        group.members.iter().filter_map(|&index| subjects.get(index)).collect();
    members.sort_by_key(|subject| {
        let pixels = subject.height * subject.width;
        (!subject.is_val, std::cmp::Reverse(pixels), std::cmp::Reverse(subject.file.bytes))
    });
    let varies = |of: &dyn Fn(&Subject) -> String| {
        let first = members.first().map(|subject| of(subject));
        members.iter().any(|subject| Some(of(subject)) != first)
    };
    Copies {
        exact: !varies(&|subject| subject.file.sha256.clone()),
        mirrored: group.mirrored,
        across_parts: varies(&|subject| subject.is_val.to_string()),
        across_classes: varies(&|subject| format!("{:?}", subject.sample.target())),
        likeness: group.likeness,
        images: members.iter().map(|subject| subject.name().to_owned()).collect(),
    }
}

/// Disjoint sets by union to the lower index.
struct Union(Vec<usize>);

impl Union {
    fn new(n: usize) -> Self {
        Self((0..n).collect())
    }

    fn root(&mut self, mut index: usize) -> usize {
        while self.0[index] != index {
            self.0[index] = self.0[self.0[index]];
            index = self.0[index];
        }
        index
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.0[a.max(b)] = a.min(b);
    }
}
