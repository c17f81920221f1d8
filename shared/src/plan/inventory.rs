//! The `inventory` effect: order lines to stock decrements.
//!
//! Real orders hold lines that are no stock: tips, gift cards, services have no SKU. They are
//! skipped and recorded, never a reason to park.

use serde::Deserialize;

use super::effect::{Effect, EffectMistake, KeyText, Kind};
use super::{Body, Decrement, Expression, Plan, PlanError, Skip, Subject};
use crate::config::{InventoryEffectConfig, UnknownSku};
use crate::name::Name;

/// The largest quantity that one line may take.
const MAX_QUANTITY: i64 = 1_000_000_000;

pub(super) struct InventoryEffect {
    name: Name,
    map: Expression,
    unknown_sku: UnknownSku,
}

impl Kind for InventoryEffectConfig {
    const KIND: &'static str = "inventory";
}

/// One line, as the mapping yields it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    order: KeyText,
    line: KeyText,
    sku: Option<String>,
    quantity: i64,
}

impl InventoryEffect {
    pub(super) fn compile(name: &Name, config: &InventoryEffectConfig) -> Result<Self, Vec<EffectMistake>> {
        let map = Expression::compile(&config.map)
            .map_err(|error| vec![EffectMistake { key: "map", problem: error.to_string() }])?;
        Ok(Self { name: name.clone(), map, unknown_sku: config.unknown_sku })
    }

    fn decrement(&self, line: Line) -> Result<Result<Decrement, Skip>, PlanError> {
        let order = line.order.checked(&self.name, "order")?;
        let id = line.line.checked(&self.name, "line")?;
        let skip = |why: &str| Skip { by: self.name.to_string(), reason: format!("line {id} {why}") };
        let sku = line.sku.unwrap_or_default();
        if sku.trim().is_empty() {
            return Ok(Err(skip("has no SKU")));
        }
        if line.quantity == 0 {
            return Ok(Err(skip("has quantity 0")));
        }
        if !(1..=MAX_QUANTITY).contains(&line.quantity) {
            let problem = format!("quantity {} of line {id}: it needs 1 to {MAX_QUANTITY}", line.quantity);
            return Err(PlanError::Value { effect: self.name.clone(), problem });
        }
        let sku = KeyText::Text(sku).checked(&self.name, "sku")?;
        Ok(Ok(Decrement {
            effect: self.name.clone(),
            order,
            line: id,
            sku,
            quantity: line.quantity,
            unknown_sku: self.unknown_sku,
        }))
    }
}

impl Effect for InventoryEffect {
    fn plan(&self, _subject: Subject<'_>, body: &Body, plan: &mut Plan) -> Result<(), PlanError> {
        let lines = self.map.run::<Line>(body);
        for line in lines.map_err(|error| PlanError::Mapping { effect: self.name.clone(), error })? {
            match self.decrement(line)? {
                Ok(decrement) => plan.decrements.push(decrement),
                Err(skip) => plan.skips.push(skip),
            }
        }
        Ok(())
    }
}
