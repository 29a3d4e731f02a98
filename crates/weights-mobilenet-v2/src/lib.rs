//! ImageNet weights of MobileNetV2 as a crate, stored as f16 safetensors.
//!
//! Above: `taper-zoo` (feature `embedded`). Below: nothing. Not here: reading them (`taper_model::Model::from_bytes`).
//! A model file: graph, preprocessing and class names are in it. Weights of convolutions and linear layers are `f16`, norms,
//! biases and statistics `f32`. Made by `cargo xtask weights embed` from the published file; do not edit.
//! Source: torchvision's `MobileNet_V2_Weights.IMAGENET1K_V1`, file `mobilenet_v2-b0353104.pth`, sha256
//! `b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889`, BSD-3-Clause (see `NOTICE`).

/// The model file of `mobilenetv2_100.tv_in1k`.
///
/// # Examples
/// ```
/// let header_len = u64::from_le_bytes(*taper_weights_mobilenet_v2::WEIGHTS.first_chunk().unwrap());
/// assert!((header_len as usize) < taper_weights_mobilenet_v2::WEIGHTS.len());
/// ```
pub const WEIGHTS: &[u8] = include_bytes!("../weights.safetensors");
