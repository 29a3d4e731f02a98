//! What is answered to which request: the page, what the model is, and what it makes of a picture.
//!
//! Above: `demo::connection`. Below: `look::inspector`, `demo::response`. Not here: reading requests (`demo::request`), the page's files beside this one.

use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use taper_classifier::ClassProbability;
use taper_data::image;
use taper_model::{Model, Task};

use super::request::{MAX_UPLOAD, Method, Request};
use super::response::{Response, Status};
use crate::error::{Error, Result};
use crate::look::Inspector;
use crate::options::DemoOptions;
use crate::report::PredictedNumber;

/// Where visitors are answered.
pub(super) struct Desk<'m> {
    /// One picture at a time: it has all threads.
    inspector: Mutex<Inspector<'m>>,
    about: About,
    port: u16,
}

/// What the page says of the model.
#[derive(Debug, Serialize)]
struct About {
    name: String,
    task: Task,
    classes: usize,
    size: [usize; 2],
    max_upload: u64,
}

/// What was seen.
#[derive(Debug, Serialize)]
struct Seen {
    predictions: Vec<ClassProbability>,
    numbers: Vec<PredictedNumber>,
    /// Absent of a model that cannot tell pictures of other things.
    is_known: Option<bool>,
    /// Whose evidence the heat map shows.
    of: String,
    is_warm: bool,
    input: String,
    heat: String,
}

impl<'m> Desk<'m> {
    pub(super) fn new(model: &'m Model, options: &DemoOptions, port: u16) -> Result<Self> {
        let inspector = Inspector::of_classes(model, options.top, options.threads)?;
        let about = About {
            name: options.model.clone(),
            task: model.task(),
            classes: inspector.n_classes(),
            size: model.preprocess().input_size,
            max_upload: MAX_UPLOAD,
        };
        Ok(Self { inspector: Mutex::new(inspector), about, port })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn answer(&self, request: &Request) -> Response {
        let is_upload = request.method == Method::Post;
        match (request.path.as_str(), is_upload) {
            ("/", false) => {
                Response::file("text/html; charset=utf-8", include_str!("page/demo.html"))
            }
            ("/demo.css", false) => {
                let style =
                    format!("{}{}", taper_report::page_style(), include_str!("page/demo.css"));
                Response::file("text/css; charset=utf-8", style)
            }
            ("/demo.js", false) => {
                Response::file("text/javascript; charset=utf-8", include_str!("page/demo.js"))
            }
            ("/model", false) => Response::json(Status::Ok, &self.about),
            ("/look", true) => self.look(&request.body),
            ("/look", false) => {
                Response::refusal(Status::MethodNotAllowed, "send a picture with POST")
            }
            ("/" | "/demo.css" | "/demo.js" | "/model", true) => {
                Response::refusal(Status::MethodNotAllowed, "pictures go to /look")
            }
            _ => Response::refusal(Status::NotFound, "there is nothing of that name here"),
        }
    }

    fn look(&self, bytes: &[u8]) -> Response {
        if bytes.is_empty() {
            return Response::refusal(Status::BadRequest, "the upload is empty");
        }
        match self.seen(bytes) {
            Ok(seen) => Response::json(Status::Ok, &seen),
            Err(refused) => match *refused {
                Refused::Picture(source) => {
                    let words = format!("this cannot be read as a picture: {}", source.chain());
                    Response::refusal(Status::UnprocessableContent, &words)
                }
                Refused::NoNumber => {
                    let words = "the model answers with what is no number: it has diverged";
                    Response::refusal(Status::InternalServerError, words)
                }
                Refused::Work(error) => {
                    Response::refusal(Status::InternalServerError, &error.to_string())
                }
            },
        }
    }

    fn seen(&self, bytes: &[u8]) -> std::result::Result<Seen, Box<Refused>> {
        let mut inspector = self.inspector.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock as well: one large picture in memory at a time.
        let unreadable = |source| Box::new(Refused::Picture(source));
        let picture = image::decode(bytes).map_err(unreadable)?;
        let xs = inspector.see(&picture).map_err(unreadable)?;
        let found = inspector.inspect(&xs).map_err(|error| Box::new(Refused::Work(error)))?;
        let shares = found.predictions.iter().map(|class| class.probability);
        let values = found.numbers.iter().map(|number| number.value);
        if !shares.chain(values).all(f64::is_finite) {
            return Err(Box::new(Refused::NoNumber));
        }
        let draw = |source| Box::new(Refused::Work(Error::Draw { source }));
        Ok(Seen {
            of: found.class.class,
            is_known: found.is_known,
            is_warm: found.is_warm,
            input: found.input.to_data_uri().map_err(draw)?,
            heat: found.heat.to_data_uri().map_err(draw)?,
            predictions: found.predictions,
            numbers: found.numbers,
        })
    }
}

/// Why nothing was seen.
enum Refused {
    /// The picture is to blame.
    Picture(taper_data::Error),
    /// The model's weights are.
    NoNumber,
    /// We are.
    Work(Error),
}
