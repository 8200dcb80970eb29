// A part that throws is replaced by a message; the rest of the page stays.
import { Component, type ReactNode } from 'react';
import { useWords } from '../i18n/use';
import { Failure } from './basic';

interface State {
  readonly error: Error | null;
}

class Catch extends Component<{ readonly children: ReactNode; readonly title: string }, State> {
  override state: State = { error: null };

  static getDerivedStateFromError(error: unknown): State {
    return { error: error instanceof Error ? error : new Error(String(error)) };
  }

  override render() {
    if (!this.state.error) return this.props.children;
    return <Failure title={this.props.title} error={this.state.error} again={() => this.setState({ error: null })} />;
  }
}

export function Boundary({ children }: { readonly children: ReactNode }) {
  const { t } = useWords();
  return <Catch title={t('app.failed')}>{children}</Catch>;
}
