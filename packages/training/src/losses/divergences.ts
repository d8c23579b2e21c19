import { type GraphBuilder, type Value } from '@pare/graph';

/* Divergences between a teacher's distribution p and a student's q over the last axis, given their logarithms [..., vocabulary] → [..., 1], in nats. Gradients go to both. */

const total = (builder: GraphBuilder, values: Value): Value => builder.reduceSum(values, [-1], true);

/** KL(p ‖ q) = Σ p (ln p − ln q): covers all that the teacher may say. */
export function addForwardDivergence(builder: GraphBuilder, teacher: Value, student: Value): Value {
  return total(builder, builder.mul(builder.exp(teacher), builder.sub(teacher, student)));
}

/** KL(q ‖ p): keeps to what the teacher likes best (MiniLLM, arXiv 2306.08543, §2.1). */
export function addReverseDivergence(builder: GraphBuilder, teacher: Value, student: Value): Value {
  return addForwardDivergence(builder, student, teacher);
}

/**
 * Generalised Jensen–Shannon divergence (GKD, arXiv 2306.13649, eq. 1): β KL(p ‖ m) + (1 − β) KL(q ‖ m) with m = β p + (1 − β) q. Divided by β it tends to KL(p ‖ q) as β → 0,
 * divided by 1 − β to KL(q ‖ p) as β → 1.
 * @param beta between 0 and 1, without the ends
 */
export function addJensenShannon(builder: GraphBuilder, teacher: Value, student: Value, beta: number): Value {
  if (!(beta > 0 && beta < 1)) throw new RangeError(`beta is ${String(beta)}; allowed: above 0 and below 1`);
  // ln m = ln(e^a + e^b) with a = ln p + ln β, b = ln q + ln(1 − β), the larger one taken out so that no exponential overflows or vanishes.
  const [a, b] = [builder.add(teacher, Math.log(beta)), builder.add(student, Math.log(1 - beta))];
  const larger = builder.op('Max', [a, b]);
  const mixture = builder.add(larger, builder.log(builder.add(builder.exp(builder.sub(a, larger)), builder.exp(builder.sub(b, larger)))));
  return builder.add(builder.mul(addForwardDivergence(builder, teacher, mixture), beta), builder.mul(addForwardDivergence(builder, student, mixture), 1 - beta));
}

/** Mean squared difference over the last axis, [..., n] → [..., 1]: for hidden states and logits. */
export function addSquaredError(builder: GraphBuilder, teacher: Value, student: Value): Value {
  const difference = builder.sub(student, teacher);
  return builder.reduceMean(builder.mul(difference, difference), [-1], true);
}

/** 1 − cos of the angle between two vectors along the last axis, [..., n] → [..., 1]; 1 where one of them is zero. */
export function addCosineDistance(builder: GraphBuilder, teacher: Value, student: Value): Value {
  const norm = (value: Value): Value => builder.op('ReduceL2', [value, builder.int64([-1])], { keepdims: 1 });
  const product = total(builder, builder.mul(teacher, student));
  return builder.sub(1, builder.div(product, builder.add(builder.mul(norm(teacher), norm(student)), 1e-12)));
}
