//! The zoo as a list.
//!
//! Above: the binary, Rust users. Below: `taper_zoo`. Not here: the tables themselves.

use taper_graph::nearest;

use crate::download::environment;
use crate::error::{Error, Result};
use crate::report::ZooModel;

/// Which networks to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelsOptions {
    /// Words that must all stand in the name or in an alias; case, underscores and hyphens do not matter. All networks when
    /// empty.
    pub query: String,
    /// Only those with published weights.
    pub weights: bool,
}

/// The networks that a query finds, as [`models`] lists them.
///
/// # Errors
/// [`Error::NoModel`] if it finds none, with the nearest name there is; those of [`models`].
///
/// # Examples
/// ```
/// use taper_recipes::{ModelsOptions, find_models};
/// let options = ModelsOptions { query: "EfficientNet-V2 tv_in1k".to_owned(), weights: true };
/// let found = find_models(&options)?;
/// assert!(found.iter().any(|model| model.name == "efficientnetv2_s.tv_in1k"));
/// # Ok::<(), taper_recipes::Error>(())
/// ```
pub fn find_models(options: &ModelsOptions) -> Result<Vec<ZooModel>> {
    let words: Vec<String> = options.query.split_whitespace().map(squashed).collect();
    let has = |model: &ZooModel, word: &String| {
        let mut spellings = model.aliases.iter().chain([&model.name]);
        spellings.any(|spelling| squashed(spelling).contains(word))
    };
    let all = models()?;
    let is_it = |model: &&ZooModel| {
        (model.top1.is_some() || !options.weights) && words.iter().all(|word| has(model, word))
    };
    let found: Vec<ZooModel> = all.iter().filter(is_it).cloned().collect();
    if found.is_empty() { Err(none_like(options, &all)) } else { Ok(found) }
}

fn none_like(ModelsOptions { query, weights }: &ModelsOptions, all: &[ZooModel]) -> Error {
    let models = all.iter().filter(|model| model.top1.is_some() || !weights);
    let names = models.flat_map(|model| model.aliases.iter().chain([&model.name]));
    let nearest = nearest(query, names.map(String::as_str)).unwrap_or_default().to_owned();
    Error::NoModel { query: query.chars().take(100).collect(), nearest }
}

fn squashed(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '_' | '-')).flat_map(char::to_lowercase).collect()
}

/// Every network that is known by name, with what it costs and whether its weights are on this machine.
///
/// # Errors
/// [`Error::Zoo`] for variables of the environment that cannot be meant.
///
/// # Examples
/// ```
/// let models = taper_recipes::models()?;
/// let full = models.iter().find(|model| model.name == "mobilenetv2_100.tv_in1k").unwrap();
/// assert_eq!(full.params, 3_504_872);
/// assert!(full.cached);
/// # Ok::<(), taper_recipes::Error>(())
/// ```
pub fn models() -> Result<Vec<ZooModel>> {
    let environment = environment()?;
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
            checks: Vec::new(),
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
                macs: record.macs,
                input: record.preprocess.input_size[0],
                top1: Some(record.top1),
                license: Some(record.licence.to_owned()),
                cached: record.is_cached(&environment),
                checks: record.sources.iter().map(|source| source.check().to_string()).collect(),
                ..bare.clone()
            });
        }
    }
    Ok(models)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(query: &str, weights: bool) -> Result<Vec<String>> {
        let found = find_models(&ModelsOptions { query: query.to_owned(), weights })?;
        Ok(found.into_iter().map(|model| model.name).collect())
    }

    #[test]
    fn every_word_must_stand_in_a_name_or_an_alias() {
        assert_eq!(names("mobilenet_v2 tv_in1k", false).unwrap(), ["mobilenetv2_100.tv_in1k"]);
        assert_eq!(
            names("SMALL minimal", false).unwrap(),
            ["tf_mobilenetv3_small_minimal_100.in1k"]
        );
        assert_eq!(names("", false).unwrap().len(), models().unwrap().len());
    }

    #[test]
    fn those_without_weights_can_be_left_out() {
        let lenet = names("lenet5", false).unwrap(); // `lenet` stands in every MobileNet
        assert_eq!(lenet, ["lenet5"]);
        assert!(matches!(names("lenet5", true), Err(Error::NoModel { .. })));
        let with = names("", true).unwrap();
        assert_eq!(with.len(), taper_zoo::records().len());
    }

    #[test]
    fn a_query_that_finds_nothing_is_told_the_nearest_name() {
        let error = names("mobilnetv2_100", false).unwrap_err();
        assert!(error.is_request());
        assert!(error.to_string().contains("`mobilenetv2_100`"), "{error}");
    }

    #[test]
    fn multiply_accumulates_are_those_of_the_input_beside_them() {
        let of =
            |name: &str| models().unwrap().into_iter().find(|model| model.name == name).unwrap();
        let (small, large) =
            (of("efficientnet_b0.ra_in1k"), of("efficientnet_b0.ra4_e3600_r224_in1k"));
        assert_eq!((small.input, large.input), (224, 256));
        assert!(large.macs > small.macs);
    }
}
