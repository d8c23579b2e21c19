/** What is measured when nobody says: size always, perplexity when there is a text to measure it on, divergence when there is an original to compare with as well. */
export function defaultEvaluators(data: string | undefined, original?: string): string[] {
  return [...(data === undefined ? [] : ['perplexity', ...(original === undefined ? [] : ['divergence'])]), 'size'];
}
