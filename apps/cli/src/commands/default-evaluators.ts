/** What is measured when nobody says: size always, perplexity when there is a text to measure it on. */
export function defaultEvaluators(data: string | undefined): string[] {
  return data === undefined ? ['size'] : ['perplexity', 'size'];
}
