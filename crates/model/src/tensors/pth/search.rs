//! Which of the values in a checkpoint are the weights.
//!
//! Above: `pth`. Below: `pickle`. Not here: the numbers (`pth`), names of other projects (`crate::keymap`).
//! Training scripts keep a state dict beside much else, at the top or a few levels down, under names of their own. A dict, or a
//! module, is a candidate if it has tensors; optimizers are none. If several are equally likely, all are named.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::super::pickle::{Foreign, Handle, LONGEST, Object, Pickle};
use crate::{Error, Result};

/// Names under which training scripts keep the weights; and all that end with `state_dict`.
const WRAPPERS: [&str; 14] = [
    "model",
    "model_state",
    "net",
    "network",
    "module",
    "weights",
    "params",
    "params_ema",
    "ema",
    "model_ema",
    "ema_model",
    "state_dict_ema",
    "ema_state",
    "net_ema",
];
/// Levels of dicts and lists above a state dict.
const DEPTH: usize = 6;
/// Levels of modules.
const MODULES: usize = 64;
/// Entries that are looked at, a hundred times those of a large checkpoint: what a file refers to again and again is not free.
const MOST: usize = 1 << 22;
/// Candidates or keys that a message lists.
const NAMED: usize = 10;

/// Names of tensors, and where those are.
type Tensors<'p> = BTreeMap<Cow<'p, str>, Handle>;

/// A value that has tensors.
struct Candidate<'p> {
    path: Vec<String>,
    tensors: Tensors<'p>,
}

/// The tensors of the dict that the pickle ends with, or of the one in it that is the state dict, or of the one that `key` names.
pub(super) fn state_dict<'p>(pickle: &'p Pickle<'_>, key: Option<&str>) -> Result<Tensors<'p>> {
    let mut candidates = candidates(pickle)?;
    let names =
        |of: &[Candidate<'_>]| of.iter().take(NAMED).map(Candidate::name).collect::<Vec<_>>();
    if candidates.is_empty() {
        return Err(nothing(pickle));
    }
    if let Some(key) = key {
        let names = names(&candidates);
        let found = candidates.into_iter().find(|candidate| candidate.path.join(".") == key);
        let missing = || Error::NoStateDict { key: key.chars().take(200).collect(), names };
        return found.map(|candidate| candidate.tensors).ok_or_else(missing);
    }
    let rank = |candidate: &Candidate<'_>| candidate.rank(pickle);
    let best = candidates.iter().map(rank).max();
    candidates.retain(|candidate| Some(rank(candidate)) == best);
    match candidates.len() {
        1 => Ok(candidates.remove(0).tensors),
        _ => Err(Error::StateDicts { names: names(&candidates) }),
    }
}

/// What there is in place of tensors.
fn nothing(pickle: &Pickle<'_>) -> Error {
    match &pickle.objects[pickle.root] {
        Object::Foreign(_) | Object::Global(_) => Error::Global { name: pickle.name(pickle.root) },
        _ => {
            let keys = entries(pickle, pickle.root).into_iter().take(NAMED);
            Error::NoTensors { keys: keys.filter_map(|(key, _)| key.text(pickle)).collect() }
        }
    }
}

impl Candidate<'_> {
    /// The keys on the way to it, and how much it has.
    fn name(&self) -> String {
        let place = match self.path.is_empty() {
            true => "the top level".to_owned(),
            false => format!("`{}`", self.path.join(".")),
        };
        format!("{place} ({} tensors)", self.tensors.len())
    }

    /// How likely it is the weights of a network: by the names of its tensors, then by its own.
    fn rank(&self, pickle: &Pickle<'_>) -> (u8, u8) {
        let is_slot =
            |name: &Cow<'_, str>| name.contains('.') || name == "weight" || name == "bias";
        let is_one = |tensor: &Handle| match &pickle.objects[*tensor] {
            Object::Tensor(view) => view.shape.iter().all(|len| *len == 1),
            _ => false,
        };
        let content = match &self.tensors {
            tensors if tensors.keys().any(is_slot) => 2,
            tensors if tensors.values().all(is_one) => 0, // an accuracy, a temperature
            _ => 1,
        };
        let is_known = |name: &String| {
            WRAPPERS.contains(&&**name)
                || name.ends_with("state_dict")
                || name.bytes().all(|byte| byte.is_ascii_digit())
        };
        let place = match self.path.split_last() {
            None if content == 2 => 3,
            None => 0,
            Some(_) if self.path.iter().all(is_known) => 3,
            Some((last, _)) if is_known(last) => 2,
            Some(_) => 1,
        };
        (content, place)
    }
}

/// What is looked into, the place above it and the key there.
struct Place {
    value: Handle,
    above: Option<(usize, Key)>,
    depth: usize,
}

/// All dicts and modules with tensors, the nearest first, each once.
fn candidates<'p>(pickle: &'p Pickle<'_>) -> Result<Vec<Candidate<'p>>> {
    let (mut candidates, mut seen) = (Vec::new(), BTreeSet::from([pickle.root]));
    let mut left = Budget(MOST);
    let mut places = vec![Place { value: pickle.root, above: None, depth: 0 }];
    for here in 0.. {
        let Some(&Place { value, depth, .. }) = places.get(here) else { break };
        if let Some(tensors) = module(pickle, value, &mut left)? {
            candidates.push(Candidate { path: path(pickle, &places, here), tensors });
            continue;
        }
        let mut tensors = Tensors::new();
        let entries = entries(pickle, value);
        left.take(entries.len(), pickle, value)?;
        for (key, value) in entries {
            match &pickle.objects[value] {
                Object::Tensor(_) | Object::OddTensor(_) => {
                    key.named(pickle).map(|name| tensors.insert(name.into(), value));
                }
                Object::Dict(_) | Object::List(_) | Object::Tuple(_) | Object::Foreign(_)
                    if depth < DEPTH && !key.is_of_optimizer(pickle) && seen.insert(value) =>
                {
                    places.push(Place { value, above: Some((here, key)), depth: depth + 1 });
                }
                _ => {}
            }
        }
        if !tensors.is_empty() {
            candidates.push(Candidate { path: path(pickle, &places, here), tensors });
        }
    }
    Ok(candidates)
}

/// Entries that may still be looked at.
struct Budget(usize);

impl Budget {
    fn take(&mut self, entries: usize, pickle: &Pickle<'_>, value: Handle) -> Result<()> {
        let left = self.0.checked_sub(entries + 1);
        self.0 = left.ok_or_else(|| Error::Global { name: pickle.name(value) })?;
        Ok(())
    }
}

fn path(pickle: &Pickle<'_>, places: &[Place], mut here: usize) -> Vec<String> {
    let mut path = Vec::new();
    while let Some((above, key)) = places[here].above {
        path.push(key.text(pickle).unwrap_or_else(|| "?".to_owned()));
        here = above;
    }
    path.reverse();
    path
}

/// Where a value stands in what holds it.
#[derive(Clone, Copy)]
enum Key {
    Object(Handle),
    Index(usize),
}

impl Key {
    fn named<'p>(self, pickle: &'p Pickle<'_>) -> Option<&'p str> {
        match self {
            Self::Object(key) => pickle.text(key),
            Self::Index(_) => None,
        }
    }

    fn text(self, pickle: &Pickle<'_>) -> Option<String> {
        match self {
            Self::Index(index) => Some(index.to_string()),
            Self::Object(key) => match pickle.objects[key] {
                Object::Int(number) => Some(number.to_string()),
                _ => self.named(pickle).map(str::to_owned),
            },
        }
    }

    fn is_of_optimizer(self, pickle: &Pickle<'_>) -> bool {
        self.named(pickle).is_some_and(|name| name.to_ascii_lowercase().contains("optim"))
    }
}

/// What a value holds: a dict's entries, a list's items, the attributes of an object. An optimizer's state holds nothing.
fn entries(pickle: &Pickle<'_>, value: Handle) -> Vec<(Key, Handle)> {
    let keyed = |entries: &[(Handle, Handle)]| -> Vec<(Key, Handle)> {
        entries.iter().map(|&(key, value)| (Key::Object(key), value)).collect()
    };
    let entries = match &pickle.objects[value] {
        Object::Dict(entries) => keyed(entries),
        Object::List(items) | Object::Tuple(items) => {
            let indexed = || items.iter().enumerate().map(|(at, &item)| (Key::Index(at), item));
            return pairs(pickle, items).unwrap_or_else(|| indexed().collect());
        }
        Object::Foreign(foreign) => {
            let mut all = keyed(&foreign.items);
            all.extend(attributes(pickle, foreign).into_iter().flat_map(keyed));
            all
        }
        _ => Vec::new(),
    };
    let is_optimizer = |(key, _): &(Key, Handle)| key.named(pickle) == Some("param_groups");
    if entries.iter().any(is_optimizer) { Vec::new() } else { entries }
}

/// A list of names and what they name, as `list(model.named_parameters())`.
fn pairs(pickle: &Pickle<'_>, items: &[Handle]) -> Option<Vec<(Key, Handle)>> {
    let pair = |&item: &Handle| match &pickle.objects[item] {
        Object::List(pair) | Object::Tuple(pair) => match pair[..] {
            [name, value] if pickle.text(name).is_some() => Some((Key::Object(name), value)),
            _ => None,
        },
        _ => None,
    };
    items.iter().map(pair).collect()
}

/// The attributes that an object would be given: its state is a dict, or a pair of one and of slots.
fn attributes<'p>(pickle: &'p Pickle<'_>, foreign: &Foreign) -> Option<&'p [(Handle, Handle)]> {
    let state = match &pickle.objects[foreign.state?] {
        Object::Tuple(parts) => &pickle.objects[*parts.first()?],
        state => state,
    };
    match state {
        Object::Dict(entries) => Some(entries),
        _ => None,
    }
}

/// The parameters and buffers of a module that was saved whole, under the names they have in its state dict. Its code is not in
/// the file and is not needed.
fn module<'p>(
    pickle: &'p Pickle<'_>,
    value: Handle,
    left: &mut Budget,
) -> Result<Option<Tensors<'p>>> {
    if parts(pickle, value, left)?.is_none() {
        return Ok(None);
    }
    let mut tensors = Tensors::new();
    let mut open = vec![(String::new(), value, 0usize)];
    while let Some((prefix, value, depth)) = open.pop() {
        let Some([params, buffers, modules]) = parts(pickle, value, left)? else { continue };
        left.take(params.len() + buffers.len() + modules.len(), pickle, value)?;
        if depth > MODULES {
            return Err(Error::Global { name: pickle.name(value) });
        }
        for &(key, value) in [params, buffers, modules].into_iter().flatten() {
            let Some(name) = Key::Object(key).named(pickle) else { continue };
            let name = format!("{prefix}{name}");
            match &pickle.objects[value] {
                _ if name.len() > LONGEST => {}
                Object::Tensor(_) | Object::OddTensor(_) => {
                    tensors.insert(name.into(), value);
                }
                Object::Foreign(_) => open.push((format!("{name}."), value, depth + 1)),
                _ => {}
            }
        }
    }
    Ok((!tensors.is_empty()).then_some(tensors))
}

/// Entries of three dicts.
type Parts<'p> = [&'p [(Handle, Handle)]; 3];

/// Parameters, buffers and modules of a module.
fn parts<'p>(
    pickle: &'p Pickle<'_>,
    value: Handle,
    left: &mut Budget,
) -> Result<Option<Parts<'p>>> {
    let Object::Foreign(foreign) = &pickle.objects[value] else { return Ok(None) };
    let Some(attributes) = attributes(pickle, foreign) else { return Ok(None) };
    left.take(attributes.len(), pickle, value)?;
    let part = |wanted: &str| {
        let (_, value) = attributes.iter().find(|(key, _)| pickle.text(*key) == Some(wanted))?;
        match &pickle.objects[*value] {
            Object::Dict(entries) => Some(entries.as_slice()),
            _ => None,
        }
    };
    Ok(part("_parameters").zip(part("_buffers")).zip(part("_modules")).map(|((a, b), c)| [a, b, c]))
}
