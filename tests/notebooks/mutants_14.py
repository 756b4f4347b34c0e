"""Mutants of chapter 14's canonical code."""

TRAINING, LEARNER = "training.py", "learner.py"
SCHEDULES, LOSSES, INPUTS = "schedules.py", "losses.py", "loss_inputs.py"

# (module, text that stands in it once, the same with another character)
MUTANTS = [
    (LOSSES, "doubt = (1 - torch.exp(-loss))", "doubt = (1 + torch.exp(-loss))"),
    (LOSSES, "doubt**gamma * loss", "doubt**gamma + loss"),
    (LOSSES, "quantile(0.5) / frequency", "quantile(0.9) / frequency"),
    (LOSSES, "weight = 1 / (1.02 +", "weight = 1 / (1.12 +"),
    (INPUTS, "torch.where(count > 0,", "torch.where(count < 0,"),
    (INPUTS, "| (mask >= num_classes)", "| (mask == num_classes)"),
    (SCHEDULES, "return (step + 1) / warmup_steps", "return (step + 0) / warmup_steps"),
    (SCHEDULES, "if step < warmup_steps:", "if step > warmup_steps:"),
    (SCHEDULES, "(total_steps - warmup_steps)\n", "(total_steps + warmup_steps)\n"),
    (SCHEDULES, "max(0.0, 1.0 - done)", "max(0.1, 1.0 - done)"),
    (SCHEDULES, "max(0.0, 1.0 - done)", "max(0.0, 2.0 - done)"),
    (SCHEDULES, "max(self.last_epoch, 0)", "max(self.last_epoch, 1)"),
    (SCHEDULES, "[base_lr * factor", "[base_lr + factor"),
    (TRAINING, "len(run.history.loss) + 1)", "len(run.history.loss) + 0)"),
    (TRAINING, "step % val_every == 0", "step % val_every == 1"),
    (TRAINING, "step == learner.recipe.steps", "step != learner.recipe.steps"),
    (TRAINING, "shares[1:]", "shares[0:]"),
    (TRAINING, "ConfusionMatrix(logits.shape[1])", "ConfusionMatrix(logits.shape[2])"),
    (LEARNER, 'param_groups[-1]["lr"]', 'param_groups[-2]["lr"]'),
    (LEARNER, "sums[0] + total.item()", "sums[0] - total.item()"),
    (LEARNER, "sums[1] + count.item()", "sums[1] - count.item()"),
    (LEARNER, "scale(total / UNIT)", "scale(total * UNIT)"),
    (LEARNER, "processes / (count_of_all", "processes * (count_of_all"),
    (LEARNER, "self.recipe.accumulate > 1", "self.recipe.accumulate < 1"),
    (LOSSES, "images.sum(1, keepdim=True)).sum(0)", "images.sum(1, keepdim=True)).sum(1)"),
]

# These compute what the original computes, so that nothing can notice them.
EQUIVALENT = {
    (LEARNER, "factor = UNIT * self", "factor = UNIT / self"): "there is one process",
    (LEARNER, "UNIT = 2.0**16", "UNIT = 2.0**17"): (
        "sums are divided by it and gradients multiplied: a power of two rounds nothing"
    ),
    (LEARNER, "number < self.recipe.accumulate", "number > self.recipe.accumulate"): (
        "one process has no partner to wait for"
    ),
    (LEARNER, "processes / (count_of_all or 1.0)", "processes / (count_of_all or 2.0)"): (
        "without a label the gradient is 0, whatever it is divided by"
    ),
    (INPUTS, "count, 1.0)", "count, 2.0)"): "without a label the sum is 0",
}
