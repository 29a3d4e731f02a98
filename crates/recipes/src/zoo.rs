//! The zoo as a list.
//!
//! Above: the binary, Rust users. Below: `taper_zoo`. Not here: the tables themselves.

use crate::report::ZooModel;

/// Every network that is known by name, with what it costs and where its weights are.
///
/// # Examples
/// ```
/// let models = taper_recipes::models();
/// let full = models.iter().find(|model| model.name == "mobilenetv2_100.tv_in1k").unwrap();
/// assert_eq!(full.params, 3_504_872);
/// assert!(full.cached);
/// ```
pub fn models() -> Vec<ZooModel> {
    let mut models = Vec::new();
    for architecture in taper_zoo::architectures() {
        let of = |name: &str| name.split('.').next() == Some(architecture.name);
        let mut records = taper_zoo::records().iter().filter(|record| of(record.name)).peekable();
        let bare = ZooModel {
            name: architecture.name.to_owned(),
            aliases: architecture.aliases.iter().map(ToString::to_string).collect(),
            params: architecture.params,
            macs: architecture.macs,
            input: architecture.input_size,
            top1: None,
            license: None,
            cached: false,
        };
        if records.peek().is_none() {
            models.push(bare.clone());
        }
        // The first weights of an architecture are meant by its bare name.
        let mut spellings = vec![architecture.name.to_owned()];
        spellings.extend(bare.aliases.clone());
        for record in records {
            let mut aliases = std::mem::take(&mut spellings);
            aliases.extend(record.aliases.iter().map(ToString::to_string));
            models.push(ZooModel {
                name: record.name.to_owned(),
                aliases,
                input: record.preprocess.input_size[0],
                top1: Some(record.top1),
                license: Some(record.licence.to_owned()),
                cached: taper_zoo::embedded(record).is_some(),
                ..bare.clone()
            });
        }
    }
    models
}
