//! Trained parameters in groups for the optimizer: weights, which decay, and the rest, which does not; the head at its own rate, and each
//! block at a lower one than the block behind it, where that is asked for.
//!
//! Above: `tune`, `warm_head`, `bench`. Below: `taper_optim::Group`, the graph's scopes. Not here: rates over time (`options::schedule`).
//! Source: layers are those of timm's `param_groups_layer_decay`: the stem, each block, the classifier; what lies between the last block and
//! the classifier belongs to that block.

use std::collections::BTreeMap;

use taper_graph::{Graph, Scope, ScopeKind};
use taper_layers::{Network, Parameter};
use taper_optim::{Group, Role};

use crate::options::FineTuneOptions;

/// The groups of a network.
pub(crate) fn groups(network: &Network, options: &FineTuneOptions) -> Vec<Group> {
    let layers = Layers::of(network.graph());
    let mut groups: BTreeMap<(bool, usize, bool), Group> = BTreeMap::new();
    for param in network.params().iter().filter(|param| param.is_trained()) {
        let (layer, is_head) = layers.place(param);
        let layer = if options.layer_decay.is_some() { layer } else { 0 };
        let is_decayed = param.role.is_decayed();
        let group = groups.entry((is_head, layer, !is_decayed)).or_insert_with(|| {
            let head_scale = if is_head { options.head_scale() } else { 1.0 };
            let layer_scale = options.layer_decay.map_or(1.0, |decay| layers.scale(decay, layer));
            let weight_decay = if is_decayed { options.weight_decay } else { 0.0 };
            let role = match (is_head, is_decayed) {
                (true, _) => Role::Head,
                (false, true) => Role::Weight,
                (false, false) => Role::Other,
            };
            let named = if is_decayed { "decayed" } else { "undecayed" };
            let place = if is_head { "head ".to_owned() } else { String::new() };
            let place = options.layer_decay.map_or(place, |_| format!("layer {layer} "));
            let group = Group::new(format!("{place}{named}"), Vec::new());
            group
                .with_lr_scale(head_scale * layer_scale)
                .with_weight_decay(weight_decay)
                .with_role(role)
        });
        group.params.push((param.name.clone(), param.var.clone()));
    }
    groups.into_values().collect()
}

/// Which layer a parameter belongs to, from the image to the logits.
struct Layers {
    /// By name, the layer, and whether it is the classifier.
    places: BTreeMap<String, (usize, bool)>,
    last: usize,
}

impl Layers {
    fn of(graph: &Graph) -> Self {
        let of_kind = |kind| graph.scopes().iter().filter(move |scope| scope.kind() == kind);
        let blocks: Vec<&Scope> = of_kind(ScopeKind::Block).collect();
        let classifiers: Vec<&Scope> = of_kind(ScopeKind::Classifier).collect();
        let mut places = BTreeMap::new();
        let mut layer = 0;
        let nodes = graph.nodes().iter().zip(graph.node_ids());
        for (node, id) in nodes {
            let block = blocks.iter().position(|scope| scope.contains(id));
            layer = block.map_or(layer, |block| layer.max(block + 1));
            let is_head = classifiers.iter().any(|scope| scope.contains(id));
            let place = if is_head { blocks.len() + 1 } else { layer };
            for &param in node.params() {
                // Of a parameter that several nodes share, the first one's.
                places.entry(graph.param(param).name.clone()).or_insert((place, is_head));
            }
        }
        Self { places, last: blocks.len() + 1 }
    }

    fn place(&self, param: &Parameter) -> (usize, bool) {
        self.places.get(&param.name).copied().unwrap_or_default()
    }

    /// The factor of a layer: 1 for the classifier, `decay` for the last block, and so on.
    fn scale(&self, decay: f64, layer: usize) -> f64 {
        (layer..self.last).fold(1.0, |scale, _| scale * decay)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use taper_model::{Model, Preprocess};

    use super::*;

    fn groups_of(name: &str, options: &FineTuneOptions) -> Vec<Group> {
        let graph = taper_zoo::architecture(name).unwrap().graph(6).unwrap();
        let classes = (0..6).map(|class| class.to_string()).collect();
        let model = Model::random(graph, 0, Preprocess::imagenet(), classes).unwrap();
        groups(&Network::new(&model, &Device::Cpu).unwrap(), options)
    }

    fn of<'a>(groups: &'a [Group], name: &str) -> &'a Group {
        let has = |group: &&Group| group.params.iter().any(|(it, _)| it == name);
        groups.iter().find(has).unwrap()
    }

    #[test]
    fn layers_have_the_factors_of_timm() {
        let options = FineTuneOptions { layer_decay: Some(0.75), ..FineTuneOptions::default() };
        let groups = groups_of("mobilenetv2_100", &options);
        // timm.optim.param_groups_layer_decay(mobilenetv2_100, weight_decay=…, layer_decay=0.75)
        assert_eq!(groups.len(), 38);
        for (name, scale) in [
            ("conv_stem.weight", 0.005_637_710_113_660_432),
            ("bn1.bias", 0.005_637_710_113_660_432),
            ("blocks.0.0.conv_dw.weight", 0.007_516_946_818_213_91),
            ("blocks.2.1.bn2.weight", 0.023_757_264_018_058_777),
            ("blocks.6.0.conv_pw.weight", 0.75),
            ("conv_head.weight", 0.75),
            ("bn2.weight", 0.75),
            ("classifier.bias", 1.0),
        ] {
            let got = of(&groups, name).lr_scale;
            assert!((got - scale).abs() < 1e-12, "{name}: {got}");
        }
        let decayed = |name| of(&groups, name).weight_decay > 0.0;
        assert!(decayed("blocks.2.1.conv_dw.weight") && !decayed("blocks.2.1.bn2.weight"));
    }

    #[test]
    fn without_it_there_are_four_groups_and_the_head_has_its_factor_and_its_role() {
        let options = FineTuneOptions { head_lr_scale: Some(7.0), ..FineTuneOptions::default() };
        let groups = groups_of("mobilenetv2_035", &options);
        let names: Vec<&str> = groups.iter().map(|group| group.name.as_str()).collect();
        assert_eq!(names, ["decayed", "undecayed", "head decayed", "head undecayed"]);
        let (head, stem) = (of(&groups, "classifier.bias"), of(&groups, "conv_stem.weight"));
        assert!((head.lr_scale - 7.0).abs() < 1e-12 && (stem.lr_scale - 1.0).abs() < 1e-12);
        assert_eq!((head.role, stem.role), (Role::Head, Role::Weight));
        assert_eq!(of(&groups, "bn1.weight").role, Role::Other);
    }
}
