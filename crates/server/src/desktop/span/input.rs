//! Input of a span: what has a place goes to the head that is there, all else to head 0 or to the head under the pointer.

use rdpmux_model::{Button, Guest, InputEvent, Rect, Touch, TouchPhase};
use tokio::sync::{mpsc, watch};

use super::Place;

/// Where the hands of the span's viewers are.
#[derive(Default)]
struct Hands {
    /// The head under the pointer.
    under: usize,
    /// Buttons that are down, and the head that was told so: it must be told when they go up.
    held: Vec<(Button, usize)>,
    /// Fingers that are down, and the head that they touch.
    fingers: Vec<(u8, usize)>,
}

/// Runs until the span's desktop ends. A head that takes no input holds up the others of its span only.
pub(super) async fn run(
    mut inbox: mpsc::Receiver<InputEvent>,
    places: watch::Receiver<Vec<Place>>,
    pointed: watch::Sender<usize>,
) {
    let mut hands = Hands::default();
    while let Some(event) = inbox.recv().await {
        let target = {
            let places = places.borrow();
            let (head, event) = hands.route(event, &places);
            places.get(head).map(|place| (place.input.clone(), event))
        };
        pointed.send_if_modified(|under| std::mem::replace(under, hands.under) != hands.under);
        if let Some((input, event)) = target {
            // A head that is gone takes nothing; the span follows in a moment.
            let _ = input.send(event).await;
        }
    }
}

impl Hands {
    /// The head that an event is for, and the event in its coordinates.
    fn route(&mut self, event: InputEvent, places: &[Place]) -> (usize, InputEvent) {
        match event {
            InputEvent::MoveTo { x, y } => {
                let (head, x, y) = nearest(x, y, places);
                self.under = head;
                (head, InputEvent::MoveTo { x, y })
            }
            InputEvent::Touch(touch) => self.touch(touch, places),
            InputEvent::Button { button, down: true } => {
                self.held.retain(|(held, _)| *held != button);
                self.held.push((button, self.under));
                (self.under, event)
            }
            InputEvent::Button { button, down: false } => {
                let index = self.held.iter().position(|(held, _)| *held == button);
                let head = index.map_or(self.under, |index| self.held.swap_remove(index).1);
                (head, event)
            }
            InputEvent::MoveBy { .. } | InputEvent::Wheel { .. } => (self.under, event),
            // The machine has one keyboard.
            _ => (0, event),
        }
    }

    /// A finger stays with the head that it came down on.
    fn touch(&mut self, touch: Touch, places: &[Place]) -> (usize, InputEvent) {
        let known = self.fingers.iter().position(|(contact, _)| *contact == touch.contact);
        let head = match known {
            Some(index) => self.fingers[index].1,
            None => nearest(touch.x, touch.y, places).0,
        };
        match (touch.phase, known) {
            (TouchPhase::Begin, None) => self.fingers.push((touch.contact, head)),
            (TouchPhase::End | TouchPhase::Cancel, Some(index)) => drop(self.fingers.swap_remove(index)),
            _ => {}
        }
        let (x, y) = places
            .get(head)
            .map_or((touch.x, touch.y), |place| on(place.rect, touch.x, touch.y));
        (head, InputEvent::Touch(Touch { x, y, ..touch }))
    }
}

/// The head under a pixel, or the nearest one, and the pixel on it.
fn nearest(x: u32, y: u32, places: &[Place]) -> (usize, u32, u32) {
    let (x, y) = (x.min(FAR), y.min(FAR));
    let away = |at: u32, from: u32, to: u32| u64::from(from.saturating_sub(at).max((at + 1).saturating_sub(to)));
    let distance = |rect: Rect<Guest>| away(x, rect.x, rect.right()) + away(y, rect.y, rect.bottom());
    let shown = places.iter().enumerate().filter(|(_, place)| !place.rect.is_empty());
    match shown.min_by_key(|(_, place)| distance(place.rect)) {
        Some((head, place)) => {
            let (x, y) = on(place.rect, x, y);
            (head, x, y)
        }
        None => (0, x, y),
    }
}

/// A pixel of the span on one of its heads.
fn on(rect: Rect<Guest>, x: u32, y: u32) -> (u32, u32) {
    let along = |at: u32, from: u32, length: u32| at.saturating_sub(from).min(length.saturating_sub(1));
    (along(x, rect.x, rect.width), along(y, rect.y, rect.height))
}

/// No pixel of a desktop is farther away.
const FAR: u32 = u16::MAX as u32;

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> Vec<Place> {
        let place = |rect| Place {
            rect,
            input: mpsc::channel(1).0,
        };
        vec![
            place(Rect::new(640, 0, 800, 600)),
            place(Rect::new(0, 100, 640, 480)),
            place(Rect::new(0, 0, 0, 0)),
        ]
    }

    #[test]
    fn a_position_goes_to_the_head_that_is_there() {
        let (mut hands, places) = (Hands::default(), places());
        let mut at = |x, y| match hands.route(InputEvent::MoveTo { x, y }, &places) {
            (head, InputEvent::MoveTo { x, y }) => (head, x, y),
            other => panic!("{other:?}"),
        };
        assert_eq!(at(640, 0), (0, 0, 0));
        assert_eq!(at(639, 100), (1, 639, 0));
        assert_eq!(at(10, 99), (1, 10, 0), "there is no head, but one is near");
        assert_eq!(at(u32::MAX, u32::MAX), (0, 799, 599));
        assert_eq!(Hands::default().route(InputEvent::MoveTo { x: 7, y: 8 }, &[]).0, 0);
    }

    #[test]
    fn a_button_goes_up_where_it_went_down() {
        let (mut hands, places) = (Hands::default(), places());
        let mut head = |event| hands.route(event, &places).0;
        let button = |down| InputEvent::Button {
            button: Button::Left,
            down,
        };
        head(InputEvent::MoveTo { x: 0, y: 100 });
        assert_eq!(head(button(true)), 1);
        assert_eq!(head(InputEvent::MoveTo { x: 700, y: 100 }), 0);
        assert_eq!(head(InputEvent::MoveBy { dx: 1, dy: 1 }), 0);
        assert_eq!([head(button(false)), head(button(false))], [1, 0]);
    }

    #[test]
    fn a_finger_stays_with_the_head_that_it_came_down_on() {
        let (mut hands, places) = (Hands::default(), places());
        let mut touch = |phase, x, y| {
            let event = InputEvent::Touch(Touch {
                contact: 1,
                phase,
                x,
                y,
            });
            match hands.route(event, &places) {
                (head, InputEvent::Touch(touch)) => (head, touch.x, touch.y),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(touch(TouchPhase::Begin, 10, 110), (1, 10, 10));
        assert_eq!(touch(TouchPhase::Update, 700, 700), (1, 639, 479));
        assert_eq!(touch(TouchPhase::End, 700, 10), (1, 639, 0));
        assert_eq!(touch(TouchPhase::Begin, 700, 10), (0, 60, 10));
    }
}
