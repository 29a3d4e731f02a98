//! What can be wrong with a folder, a file, a transform or a loader.
//!
//! Above: every file of this crate. Below: `dataset`. Not here: which broken files are skipped (`dataset`).

mod report;

use std::path::PathBuf;

use crate::dataset::Skipped;
use report::because;

/// `Result` with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// An error of this crate; causes are in `source()`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder cannot be read.
    #[error("cannot read `{path}`")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's reason.
        #[source]
        source: std::io::Error,
    },
    /// A file or folder cannot be written.
    #[error("cannot write `{path}`")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The file is a directory, a pipe or a device.
    #[error("it is not a regular file")]
    NotRegular,
    /// The file is longer than any picture that is read.
    #[error("it has {got} bytes, more than the {limit} that are read")]
    FileTooLong {
        /// Its length in bytes.
        got: u64,
        /// The longest that is read.
        limit: u64,
    },
    /// The first bytes are those of no known picture format.
    #[error("it is no JPEG, PNG, WebP, BMP or GIF file")]
    UnknownFormat,
    /// The first bytes are those of a picture in a format that is not read.
    #[error("it is a {format} file; JPEG, PNG, WebP, BMP and GIF are read (convert it)")]
    OtherFormat {
        /// The file's format.
        format: &'static str,
    },
    /// The program was built without this format.
    #[error(
        "it is a {format} file, which this program was built without (feature `{feature}` of `taper-data`)"
    )]
    FormatLeftOut {
        /// The file's format.
        format: &'static str,
        /// The feature that brings it.
        feature: &'static str,
    },
    /// The picture has no pixels, or more than are read.
    #[error("it is {width}x{height} pixels; between 1 and {limit} in all are read")]
    Dimensions {
        /// Columns.
        width: usize,
        /// Rows.
        height: usize,
        /// The largest `width * height` that is read.
        limit: usize,
    },
    /// The picture's end is missing.
    #[error("it is truncated: the {format} data ends early")]
    Truncated {
        /// The file format.
        format: &'static str,
    },
    /// The picture contradicts its format's definition, so that pixels would have to be guessed.
    #[error("the {format} data is damaged: {what}")]
    Damaged {
        /// The file format.
        format: &'static str,
        /// What is wrong.
        what: String,
    },
    /// The picture uses a part of its format that is not read.
    #[error(
        "its kind of {format} is not read: {what} (save it again as an ordinary {format} or PNG file)"
    )]
    Unsupported {
        /// The file format.
        format: &'static str,
        /// What is not read.
        what: String,
    },
    /// The decoder refused the picture.
    #[error("it cannot be decoded")]
    Decode {
        /// The decoder's reason.
        #[source]
        source: ::image::ImageError,
    },
    /// The decoder has a bug that this file triggers.
    #[error("the decoder failed on it: {message}")]
    Decoder {
        /// What the decoder said.
        message: String,
    },
    /// A picture's pixels and size disagree.
    #[error("{got} bytes are no {height}x{width} RGB picture, which has {expected}")]
    Pixels {
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
        /// Bytes needed.
        expected: usize,
        /// Bytes given.
        got: usize,
    },
    /// One picture of a data set cannot be used.
    #[error("`{name}` is not usable")]
    Sample {
        /// Its name in the data set.
        name: String,
        /// Why.
        #[source]
        source: Box<Error>,
    },
    /// Broken files, and the caller asked to be strict.
    #[error(
        "{count} of the files cannot be used, the first is `{name}`: {reason} (remove them, or do not ask for strict reading)"
    )]
    Strict {
        /// How many.
        count: usize,
        /// The first one's name.
        name: String,
        /// Why the first one is broken.
        reason: String,
    },
    /// The data folder does not exist or is no folder.
    #[error(
        "`{path}` is not a folder (expected DIR/train/<class>/* and DIR/val/<class>/*, or DIR/<class>/*)"
    )]
    NotAFolder {
        /// The path given.
        path: PathBuf,
    },
    /// Only one half of a train/val pair exists.
    #[error(
        "`{path}` has `{has}` but no `{lacks}` (add it, or give the folder of classes itself: `{path}/{has}`)"
    )]
    HalfSplit {
        /// The data folder.
        path: PathBuf,
        /// The half that exists.
        has: String,
        /// The half that is missing.
        lacks: &'static str,
    },
    /// Two folders are named for the same part.
    #[error("`{path}` has both `{}` and `{}` (keep one of them, or give it another name)", names[0], names[1])]
    TwoParts {
        /// The data folder.
        path: PathBuf,
        /// The two.
        names: [String; 2],
    },
    /// A folder that is named like a part and holds folders lies beside folders of classes.
    #[error(
        "`{path}` has `{part}`, which is named like a part of a data set and holds folders, beside `{class}` (move it away, or the classes into `{path}/train`)"
    )]
    PartBesideClasses {
        /// The data folder.
        path: PathBuf,
        /// The folder that may be a part.
        part: String,
        /// One that may be a class.
        class: String,
    },
    /// Two names lead to the same folder.
    #[error("in `{path}`, `{}` and `{}` are the same folder (remove the link)", names[0], names[1])]
    SameFolder {
        /// The folder that holds both.
        path: PathBuf,
        /// The two.
        names: [String; 2],
    },
    /// A folder of classes holds pictures instead.
    #[error(
        "`{path}` holds {pictures} pictures and no class folders (expected DIR/train/<class>/* and DIR/val/<class>/*, or DIR/<class>/*)"
    )]
    FlatFolder {
        /// The folder.
        path: PathBuf,
        /// Pictures that lie in it.
        pictures: usize,
    },
    /// A folder holds no picture that is read.
    #[error("`{path}` holds no pictures that are read{}", because(*skipped, first.as_deref()))]
    NoPictures {
        /// The folder.
        path: PathBuf,
        /// Files that are none.
        skipped: usize,
        /// The first of them.
        first: Option<Box<Skipped>>,
    },
    /// A folder holds no class folders.
    #[error("`{path}` holds no class folders (expected one folder of pictures per class)")]
    NoClasses {
        /// The folder searched.
        path: PathBuf,
    },
    /// A folder holds one class only, so there is nothing to tell apart.
    #[error("`{path}` holds one class only, `{class}`; a classifier needs at least two")]
    OneClass {
        /// The folder searched.
        path: PathBuf,
        /// The class.
        class: String,
    },
    /// A class has no usable picture.
    #[error("class `{class}` in `{path}` has no usable pictures{}", because(*skipped, first.as_deref()))]
    EmptyClass {
        /// The folder of classes.
        path: PathBuf,
        /// The class.
        class: String,
        /// Files of it that were skipped.
        skipped: usize,
        /// The first of them.
        first: Option<Box<Skipped>>,
    },
    /// A class is too small to be split into train and val.
    #[error("class `{class}` has {images} picture; at least 2 are needed to train and validate")]
    TooFewToSplit {
        /// The class.
        class: String,
        /// Its pictures.
        images: usize,
    },
    /// The train and the val folder have different classes.
    #[error(
        "`{path}` has different classes in {} and {} (only in {}: {only_train:?}, only in {}: {only_val:?})", parts[0], parts[1], parts[0], parts[1]
    )]
    ClassesDiffer {
        /// The data folder.
        path: PathBuf,
        /// The names of the folders to train and to validate on.
        parts: Box<[String; 2]>,
        /// Classes without a folder in val.
        only_train: Vec<String>,
        /// Classes without a folder in train.
        only_val: Vec<String>,
    },
    /// A class folder's name is not Unicode.
    #[error("the folder name {path:?} is not valid Unicode (rename it)")]
    FolderName {
        /// The folder.
        path: PathBuf,
    },
    /// The embedded archive is damaged.
    #[error("the archive is damaged at byte {offset}: {what}")]
    Archive {
        /// Where.
        offset: usize,
        /// What is wrong there.
        what: &'static str,
    },
    /// An IDX file cannot be used.
    #[error("`{path}` is no usable IDX file")]
    Idx {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<Error>,
    },
    /// The file begins otherwise than an IDX file that is read.
    #[error(
        "it begins with the bytes {got:02x?}; an IDX file of unsigned bytes with 00, 00, 08 and its number of axes"
    )]
    IdxMagic {
        /// Its first four bytes.
        got: [u8; 4],
    },
    /// The header announces more than is read.
    #[error("its header announces the shape {shape:?}; its length allows {limit} elements")]
    IdxTooLong {
        /// The lengths of the axes.
        shape: Vec<u32>,
        /// The most elements that a file of its length can hold, or that are read.
        limit: u64,
    },
    /// The header announces more than follows.
    #[error("its header announces the shape {shape:?}, {expected} bytes, and {got} follow")]
    IdxTruncated {
        /// The lengths of the axes.
        shape: Vec<usize>,
        /// Their product.
        expected: u64,
        /// The bytes there are.
        got: u64,
    },
    /// The file goes on where it should end.
    #[error("its header announces the shape {shape:?}, {expected} bytes, and more follow")]
    IdxTrailing {
        /// The lengths of the axes.
        shape: Vec<usize>,
        /// Their product.
        expected: u64,
    },
    /// The array is none of pictures, or none of labels.
    #[error("its header announces the shape {got:?}, expected {expected}")]
    IdxShape {
        /// The lengths of the axes.
        got: Vec<usize>,
        /// What they should be.
        expected: &'static str,
    },
    /// A folder lacks one of MNIST's files.
    #[error("`{dir}` has no file `{}` or `{}`, with or without `.gz`", names[0], names[1])]
    IdxMissing {
        /// The folder.
        dir: PathBuf,
        /// The names looked for.
        names: [String; 2],
    },
    /// There are not as many labels as pictures.
    #[error("`{dir}` has {images} pictures with {labels} labels; they do not belong together")]
    IdxCounts {
        /// The folder.
        dir: PathBuf,
        /// Pictures.
        images: usize,
        /// Labels.
        labels: usize,
    },
    /// A file's bytes cannot be read or decompressed.
    #[error("its data cannot be read")]
    Stream {
        /// The operating system's or the decompressor's reason.
        #[source]
        source: std::io::Error,
    },
    /// Values are more or fewer than their shape says.
    #[error("{got} values do not have the shape {shape:?}, which is that of {expected}")]
    ArrayShape {
        /// How many values came.
        got: usize,
        /// The lengths of the axes.
        shape: Vec<usize>,
        /// Their product.
        expected: usize,
    },
    /// A label outside of a list of labels.
    #[error("label {got} is not below {labels}, the number of labels")]
    Label {
        /// The label.
        got: usize,
        /// How many there are.
        labels: usize,
    },
    /// Targets of different kinds or shapes cannot be in one batch.
    #[error(
        "a target is {got}, those before it are {expected}; a batch needs targets of one kind and shape"
    )]
    MixedTargets {
        /// What those before are.
        expected: String,
        /// What came.
        got: String,
    },
    /// Several targets are not one tensor.
    #[error("the targets are several ({names:?}), not one tensor; take each of their parts")]
    SeveralTargets {
        /// Their names.
        names: Vec<String>,
    },
    /// A data set of your own has too few classes.
    #[error("the data set has {got} classes; a classifier needs at least two")]
    FewClasses {
        /// How many it has.
        got: usize,
    },
    /// A part of a data set of your own is empty.
    #[error("the data set has no samples in `{part}`")]
    EmptyPart {
        /// `train` or `val`.
        part: &'static str,
    },
    /// A sample's target does not fit the others or the names of the data set.
    #[error("its target is {got}, expected {expected}")]
    OtherTarget {
        /// What it is.
        got: String,
        /// What it should be.
        expected: String,
    },
    /// A table of pictures cannot be used.
    #[cfg(feature = "table")]
    #[error("`{path}` is no usable table of pictures")]
    Table {
        /// The table.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<crate::table::TableError>,
    },
    /// Files that hold a data set cannot be used.
    #[error("`{path}` is no usable data set")]
    Source {
        /// The folder, the shard or the pattern of shards.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<crate::source::SourceError>,
    },
    /// Targets that cannot be mixed with others.
    #[error("targets that are a {got} cannot be mixed: leave out mixup and cutmix")]
    NotMixed {
        /// What they are.
        got: String,
    },
    /// A cache on disk would be larger than what is free.
    #[error("a cache of {asked} bytes in `{folder}` is too large; {fits} would fit")]
    CacheTooLarge {
        /// Where it would be.
        folder: PathBuf,
        /// What was asked for, bytes.
        asked: u64,
        /// What would fit, with what it holds already, bytes.
        fits: u64,
    },
    /// A setting is out of range.
    #[error("{setting} is {got}, expected {expected}")]
    Setting {
        /// The setting's name.
        setting: &'static str,
        /// Its value.
        got: String,
        /// The valid range.
        expected: &'static str,
    },
    /// A rectangle is empty or reaches out of a picture.
    #[error(
        "{what} is {}x{} pixels at row {}, column {}; it must lie inside of {height}x{width} and have pixels",
        rect.height, rect.width, rect.top, rect.left
    )]
    Rect {
        /// What it was for.
        what: &'static str,
        /// The rectangle.
        rect: crate::transform::Rect,
        /// Rows there are.
        height: usize,
        /// Columns there are.
        width: usize,
    },
    /// A slice to write to, or to read from, has the wrong length.
    #[error("a slice has {got} elements, expected {expected}")]
    Buffer {
        /// Elements needed.
        expected: usize,
        /// Elements given.
        got: usize,
    },
    /// What a transform or a data set of your own refuses.
    #[error("{message}")]
    Other {
        /// Why.
        message: String,
        /// The cause, if there is one.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// A loader thread ended without delivering its batches.
    #[error(
        "a loader thread panicked before the end of epoch {epoch} (a bug, in this crate or in a transform of your own)"
    )]
    Worker {
        /// The epoch.
        epoch: usize,
    },
    /// Building candle tensors failed.
    #[cfg(feature = "candle")]
    #[error("the batch cannot become tensors")]
    Tensor {
        /// candle's reason.
        #[source]
        source: candle_core::Error,
    },
}
